"""MetaPrompts for semantic segmentation: Stable Diffusion 1.5, three passes with learned prompts, UPerNet."""

_base_ = './sd1-5.py'

num_prompts = 150
num_classes = 150
norm_cfg = dict(type='SyncBN', requires_grad=True)

model = dict(
    type='DiffusionSegmentor',
    backbone=dict(
        prompts=dict(type='MetaPrompts', num_prompts=num_prompts),
        num_refine_steps=3,
        learned_timesteps=True,
        resize_skips=True,
        out_prompts=True,
    ),
    neck=dict(
        type='MetaPromptsNeck', in_channels=_base_.channels, num_prompts=num_prompts, embed_dims=_base_.embed_dims
    ),
    decode_head=dict(
        type='UPerHead',
        in_channels=[num_prompts] * 4,
        in_index=[0, 1, 2, 3],
        pool_scales=(1, 2, 3, 6),
        channels=512,
        dropout_ratio=0.0,
        num_classes=num_classes,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=[
            dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
            dict(type='LovaszLoss', reduction='none', loss_weight=1.0),
        ],
    ),
    auxiliary_head=dict(
        type='FCNHead',
        in_channels=num_prompts,
        in_index=2,
        channels=512,
        num_convs=1,
        concat_input=False,
        dropout_ratio=0.0,
        num_classes=num_classes,
        norm_cfg=norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=0.4),
    ),
    test_cfg=dict(mode='slide', crop_size=(512, 512), stride=(341, 341), window_batch=8),
)
