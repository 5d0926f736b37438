"""Schedule of Lotus-D: 20k updates of AdamW in half precision at a constant learning rate, without accumulation."""

_base_ = './e2e-ft_320k.py'

max_iters = 20_000
optim_wrapper = dict(type='AmpOptimWrapper', dtype='float16', accumulative_counts=1)
param_scheduler = []
train_cfg = dict(max_iters=max_iters, val_interval=5000)
default_hooks = dict(logger=dict(interval=50), checkpoint=dict(interval=1000))
