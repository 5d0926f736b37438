"""The model of SDPose for COCO, tested on COCO-OOD. Published: 63.5 AP."""

_base_ = ['./td-hm_sdpose-sd2_8xb16-40e_coco-1024x768.py', '../_base_/datasets/coco_ood_test.py']

test_dataloader = dict(dataset=dict(_delete_=True, **_base_.test_on, pipeline=_base_.val_dataloader.dataset.pipeline))
test_evaluator = dict(_delete_=True, **_base_.test_with)
