"""COCO-WholeBody, 133 keypoints, on the images of COCO 2017; otherwise as COCO for SDPose."""

_base_ = './sdpose_coco.py'

dataset_type = 'CocoWholeBodyDataset'
require = dict(type='RequireKeypoints', min_keypoints=8)

train_dataloader = dict(dataset=dict(type=dataset_type, ann_file='annotations/coco_wholebody_train_v1.0.json'))
val_dataloader = dict(dataset=dict(type=dataset_type, ann_file='annotations/coco_wholebody_val_v1.0.json'))
test_dataloader = val_dataloader
val_evaluator = dict(
    _delete_=True,
    type='CocoWholeBodyMetric',
    ann_file=f'{_base_.data_root}annotations/coco_wholebody_val_v1.0.json',
)
test_evaluator = val_evaluator
