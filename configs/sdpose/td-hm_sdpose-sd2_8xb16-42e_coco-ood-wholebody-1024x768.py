"""The model of SDPose for COCO-WholeBody, tested on COCO-OOD. Published: 46.6 AP."""

_base_ = ['./td-hm_sdpose-sd2_8xb16-42e_coco-wholebody-1024x768.py', '../_base_/datasets/coco_ood_test.py']

test_dataloader = dict(
    dataset=dict(_delete_=True, **_base_.test_whole_body_on, pipeline=_base_.val_dataloader.dataset.pipeline)
)
test_evaluator = dict(_delete_=True, **_base_.test_whole_body_with)
