"""TADP at laptop scale: tiny-sd with eleven classes of toy scenes."""

_base_ = ['./tadp_sd1-5_fpn.py', './tiny-sd_unet.py']

num_classes = 11
channels = 64
norm_cfg = dict(type='BN', requires_grad=True)

model = dict(
    backbone=dict(**_base_.tiny_backbone, prompts=dict(checkpoint='tiny-sd')),
    neck=dict(
        in_channels=[width + _base_.num_tokens * maps for width, maps in _base_.tiny_taps],
        out_channels=channels,
    ),
    decode_head=dict(in_channels=[channels] * 4, channels=channels, num_classes=num_classes, norm_cfg=norm_cfg),
    test_cfg=dict(_delete_=True, mode='whole'),
)
