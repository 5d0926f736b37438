"""TADP for depth at laptop scale: tiny-sd, toy scenes in NYU's format and their captions."""

_base_ = [
    '../_base_/models/vpd_sd1-5_depth.py',
    '../_base_/models/tiny-sd_unet.py',
    '../_base_/datasets/toy_nyu_captions_128x128.py',
    '../_base_/schedules/toy_1800.py',
    'mmseg::_base_/default_runtime.py',
]

embed_dim = 48

model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(**_base_.tiny_backbone, prompts=dict(_delete_=True, type='CaptionPrompts', checkpoint='tiny-sd')),
    decode_head=dict(
        in_channels=_base_.tiny_channels,
        embed_dim=embed_dim,
        feature_dim=8 * embed_dim,
        num_deconv_filters=(128, 64, 32),
    ),
    test_cfg=dict(_delete_=True, mode='whole'),
)
tta_model = dict(type='DepthTTAModel')

default_hooks = dict(checkpoint=dict(save_best='rmse', rule='less'))
