"""COCO person keypoints, cut out at 256 x 192; unbiased data processing (UDP)."""

_base_ = './coco_keypoints.py'

codec = dict(type='UDPHeatmap', input_size=(192, 256), heatmap_size=(48, 64), sigma=2)
crop = dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True)
target = dict(type='GenerateTarget', encoder=codec)
pack = dict(type='PackPoseInputs')

train_dataloader = dict(dataset=dict(pipeline=[*_base_.loading, *_base_.augmentation, crop, target, pack]))
val_dataloader = dict(dataset=dict(pipeline=[*_base_.loading, crop, pack]))
test_dataloader = val_dataloader
