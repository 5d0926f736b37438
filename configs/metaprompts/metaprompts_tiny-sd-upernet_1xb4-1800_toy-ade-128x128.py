"""MetaPrompts at laptop scale: tiny-sd and toy scenes."""

_base_ = [
    '../_base_/models/metaprompts_sd1-5_upernet.py',
    '../_base_/models/tiny-sd_unet.py',
    '../_base_/datasets/toy_ade_128x128.py',
    '../_base_/schedules/toy_1800.py',
    'mmseg::_base_/default_runtime.py',
]

num_classes = 11
num_prompts = 32
channels = 64
norm_cfg = dict(type='BN', requires_grad=True)
small_head = dict(channels=channels, num_classes=num_classes, norm_cfg=norm_cfg)

model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(**_base_.tiny_backbone, prompts=dict(num_prompts=num_prompts)),
    neck=dict(in_channels=_base_.tiny_channels, num_prompts=num_prompts, embed_dims=_base_.tiny_embed_dims),
    decode_head=dict(in_channels=[num_prompts] * 4, **small_head),
    auxiliary_head=dict(in_channels=num_prompts, **small_head),
    test_cfg=dict(_delete_=True, mode='whole'),
)
tta_model = dict(type='BatchedSegTTAModel')
