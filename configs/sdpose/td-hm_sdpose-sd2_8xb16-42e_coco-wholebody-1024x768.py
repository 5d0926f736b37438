"""SDPose on COCO-WholeBody at 1024 x 768. Published: 71.5 AP."""

_base_ = [
    '../_base_/models/sdpose_sd2_wholebody.py',
    '../_base_/datasets/sdpose_coco_wholebody.py',
    '../_base_/schedules/sdpose_40e.py',
]

codec = dict(type='UDPHeatmap', input_size=(768, 1024), heatmap_size=(192, 256), sigma=6)
crop = dict(type='TopdownAffine', input_size=codec['input_size'], use_udp=True)
target = dict(type='GenerateTarget', encoder=codec)
train_pipeline = [
    *_base_.loading,
    *_base_.augmentation,
    crop,
    *_base_.disturbance,
    target,
    _base_.require,
    _base_.pack_clean,
]

model = dict(backbone=dict(with_cp=True), head=dict(decoder=codec))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=[*_base_.loading, crop, _base_.pack]))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=42)
