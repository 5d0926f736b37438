"""VPD for referring segmentation in miniature, on a laptop: tiny-sd and toy scenes in RefCOCO's format."""

_base_ = [
    '../_base_/models/vpd_sd1-5_refer.py',
    '../_base_/datasets/toy_refcoco_128x128.py',
    '../_base_/schedules/vpd_80k.py',
    'mmseg::_base_/default_runtime.py',
]

max_iters = 800
num_tokens = 32

model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(
        arch='tiny-sd',
        scale_latents=True,
        prompts=dict(max_length=num_tokens, checkpoint='tiny-sd'),
        init_cfg=dict(checkpoint='tiny-sd'),
    ),
    decode_head=dict(
        in_channels=[64, 96 + num_tokens, 96 + num_tokens, 96],
        channels=64,
        norm_cfg=dict(type='BN', requires_grad=True),
    ),
)

optim_wrapper = dict(optimizer=dict(lr=2e-3, weight_decay=1e-2))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, begin=0, end=50, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=max_iters, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=200, save_best='oIoU', rule='greater'))
randomness = dict(seed=0)
