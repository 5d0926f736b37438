"""Schedule of ``make demo``: shorter than that of the other toy configs, because the images are larger."""

_base_ = './toy_1800.py'

max_iters = 1400
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, begin=0, end=50, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=max_iters, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
