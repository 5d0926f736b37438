"""MetaPrompts in miniature, on a laptop: tiny-sd and toy scenes."""

_base_ = [
    '../_base_/models/metaprompts_sd1-5_upernet.py',
    '../_base_/datasets/toy_ade_128x128.py',
    '../_base_/schedules/metaprompts_80k.py',
    'mmseg::_base_/default_runtime.py',
]

num_classes = 11
num_prompts = 32
channels = 64
max_iters = 800
norm_cfg = dict(type='BN', requires_grad=True)
small_head = dict(channels=channels, num_classes=num_classes, norm_cfg=norm_cfg)

model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(
        arch='tiny-sd',
        scale_latents=True,
        prompts=dict(num_prompts=num_prompts),
        init_cfg=dict(checkpoint='tiny-sd'),
    ),
    neck=dict(in_channels=[64, 96, 96, 96], num_prompts=num_prompts, embed_dims=96),
    decode_head=dict(in_channels=[num_prompts] * 4, **small_head),
    auxiliary_head=dict(in_channels=num_prompts, **small_head),
    test_cfg=dict(_delete_=True, mode='whole'),
)

optim_wrapper = dict(optimizer=dict(lr=2e-3, weight_decay=1e-2))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, begin=0, end=50, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=max_iters, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=200))
randomness = dict(seed=0)
