"""Schedule of the toy configs of one-step models: 600 batches, a short warm-up, and a decay to 1 %."""

_base_ = './e2e-ft_320k.py'

max_iters = 600
warmup = 20
optim_wrapper = dict(optimizer=dict(lr=1e-3), accumulative_counts=1)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, begin=0, end=warmup, by_epoch=False),
    dict(type='ExponentialLR', gamma=0.01 ** (1 / (max_iters - warmup)), begin=warmup, end=max_iters, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=200))
custom_hooks = [*_base_.custom_hooks, dict(type='StoreLatentsHook')]
randomness = dict(seed=0)
