"""Schedule of ``make demo``: fewer iterations than the other toy configs, because its images are larger."""

_base_ = './toy_1800.py'

max_iters = 1400
param_scheduler = _base_.param_scheduler
param_scheduler[1].end = max_iters
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
