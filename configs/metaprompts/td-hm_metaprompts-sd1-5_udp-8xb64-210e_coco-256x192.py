"""MetaPrompts for pose estimation on COCO at 256 x 192, unbiased data processing (UDP)."""

_base_ = [
    '../_base_/models/metaprompts_sd1-5_pose.py',
    '../_base_/datasets/coco_keypoints.py',
    '../_base_/schedules/metaprompts_coco_210e.py',
]

codec = dict(type='UDPHeatmap', input_size=(192, 256), heatmap_size=(48, 64), sigma=2)
crop = dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True)
target = dict(type='GenerateTarget', encoder=codec)

model = dict(head=dict(decoder=codec), test_cfg=dict(shift_heatmap=False))
train_dataloader = dict(dataset=dict(pipeline=[*_base_.loading, *_base_.augmentation, crop, target, _base_.pack]))
val_dataloader = dict(dataset=dict(pipeline=[*_base_.loading, crop, _base_.pack]))
test_dataloader = val_dataloader
