"""COCO person keypoints, cut out at 384 x 288; classic heatmaps."""

_base_ = './coco_keypoints.py'

codec = dict(type='MSRAHeatmap', input_size=(288, 384), heatmap_size=(72, 96), sigma=3)
crop = dict(type='TopdownAffine', input_size=codec['input_size'])
target = dict(type='GenerateTarget', encoder=codec)
pack = dict(type='PackPoseInputs')

train_dataloader = dict(dataset=dict(pipeline=[*_base_.loading, *_base_.augmentation, crop, target, pack]))
val_dataloader = dict(dataset=dict(pipeline=[*_base_.loading, crop, pack]))
test_dataloader = val_dataloader
