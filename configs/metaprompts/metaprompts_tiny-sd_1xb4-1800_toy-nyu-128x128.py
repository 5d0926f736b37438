"""MetaPrompts for depth at laptop scale: tiny-sd and toy scenes in NYU's format."""

_base_ = [
    '../_base_/models/metaprompts_sd1-5_depth.py',
    '../_base_/models/tiny-sd_unet.py',
    '../_base_/datasets/toy_nyu_128x128.py',
    '../_base_/schedules/toy_1800.py',
    'mmseg::_base_/default_runtime.py',
]


model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=_base_.tiny_backbone,
    neck=dict(in_channels=_base_.tiny_channels, embed_dims=_base_.tiny_embed_dims),
    decode_head=dict(extra_cells=0, channels=48),
    test_cfg=dict(_delete_=True, mode='whole'),
)
tta_model = dict(type='DepthTTAModel')

default_hooks = dict(checkpoint=dict(save_best='rmse', rule='less'))
