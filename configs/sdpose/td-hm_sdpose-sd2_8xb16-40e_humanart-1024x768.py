"""The model of SDPose for COCO, tested on Human-Art. Published: 71.2 AP."""

_base_ = ['./td-hm_sdpose-sd2_8xb16-40e_coco-1024x768.py', '../_base_/datasets/humanart_test.py']

test_dataloader = dict(dataset=dict(_delete_=True, **_base_.test_on, pipeline=_base_.val_dataloader.dataset.pipeline))
test_evaluator = dict(_delete_=True, **_base_.test_with)
