"""VPD at laptop scale: tiny-sd and toy scenes. ``make demo`` runs it."""

_base_ = [
    '../_base_/models/vpd_sd1-5_fpn.py',
    '../_base_/models/tiny-sd_unet.py',
    '../_base_/datasets/toy_ade_128x128.py',
    '../_base_/schedules/toy_1800.py',
    'mmseg::_base_/default_runtime.py',
]

num_classes = 11
channels = 64
norm_cfg = dict(type='BN', requires_grad=True)

model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(**_base_.tiny_backbone, prompts=dict(classes='ToyScenesDataset', templates='imagenet')),
    neck=dict(
        in_channels=[width + num_classes * maps for width, maps in _base_.tiny_taps],
        out_channels=channels,
    ),
    decode_head=dict(in_channels=[channels] * 4, channels=channels, num_classes=num_classes, norm_cfg=norm_cfg),
    test_cfg=dict(_delete_=True, mode='whole'),
)
