"""Fast schedule of TADP on ADE20K: 4,000 iterations at twice the rate, 75 of them for the warm-up."""

_base_ = './tadp_80k.py'

max_iters = 4000
optim_wrapper = dict(optimizer=dict(lr=1.6e-4))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, begin=0, end=75 + 1, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=max_iters + 1, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=max_iters))
