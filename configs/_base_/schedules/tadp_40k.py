"""Schedule of TADP on Cityscapes: 40,000 iterations."""

_base_ = './vpd_80k.py'

max_iters = 40000
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, begin=0, end=1500 + 1, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=max_iters + 1, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=4000)
default_hooks = dict(checkpoint=dict(interval=4000))
