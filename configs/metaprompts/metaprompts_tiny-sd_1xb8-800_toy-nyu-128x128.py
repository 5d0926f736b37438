"""MetaPrompts for depth in miniature, on a laptop: tiny-sd and toy scenes in NYU's format."""

_base_ = [
    '../_base_/models/metaprompts_sd1-5_depth.py',
    '../_base_/datasets/toy_nyu_128x128.py',
    '../_base_/schedules/metaprompts_80k.py',
    'mmseg::_base_/default_runtime.py',
]

max_iters = 800

model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(arch='tiny-sd', scale_latents=True, init_cfg=dict(checkpoint='tiny-sd')),
    neck=dict(in_channels=[64, 96, 96, 96], embed_dims=96),
    decode_head=dict(extra_cells=0, channels=48),
    test_cfg=dict(_delete_=True, mode='whole'),
)
tta_model = dict(type='DepthTTAModel')

optim_wrapper = dict(optimizer=dict(lr=2e-3, weight_decay=1e-2))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, begin=0, end=50, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=max_iters, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=200, save_best='rmse', rule='less'))
randomness = dict(seed=0)
