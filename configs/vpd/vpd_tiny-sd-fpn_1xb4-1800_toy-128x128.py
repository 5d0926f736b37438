"""VPD in miniature, on a laptop: tiny-sd and toy scenes. ``make demo`` runs it."""

_base_ = [
    '../_base_/models/vpd_sd1-5_fpn.py',
    '../_base_/datasets/toy_ade_128x128.py',
    '../_base_/schedules/vpd_80k.py',
    'mmseg::_base_/default_runtime.py',
]

num_classes = 11
max_iters = 1800
norm_cfg = dict(type='BN', requires_grad=True)

model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(
        arch='tiny-sd',
        scale_latents=True,
        prompts=dict(classes='ToyScenesDataset'),
        init_cfg=dict(checkpoint='tiny-sd'),
    ),
    neck=dict(in_channels=[64, 96 + num_classes, 96 + num_classes, 96], out_channels=64),
    decode_head=dict(in_channels=[64] * 4, channels=64, num_classes=num_classes, norm_cfg=norm_cfg),
    test_cfg=dict(_delete_=True, mode='whole'),
)

train_dataloader = dict(batch_size=4)
optim_wrapper = dict(optimizer=dict(lr=2e-3, weight_decay=1e-2, fused=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, begin=0, end=50, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=max_iters, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=300))
randomness = dict(seed=0)
