"""SDPose on COCO-WholeBody at 512 x 384, which needs a quarter of the memory."""

_base_ = [
    '../_base_/models/sdpose_sd2_wholebody.py',
    '../_base_/datasets/sdpose_coco_wholebody.py',
    '../_base_/schedules/sdpose_40e.py',
]

codec = dict(type='UDPHeatmap', input_size=(384, 512), heatmap_size=(96, 128), sigma=3)
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

model = dict(head=dict(decoder=codec))
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=[*_base_.loading, crop, _base_.pack]))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=42)
