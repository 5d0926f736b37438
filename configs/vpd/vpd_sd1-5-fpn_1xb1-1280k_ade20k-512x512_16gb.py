"""The recipe of VPD for one GPU with 16 GB: an update takes 16 batches of 1 image."""

_base_ = './vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py'

accumulated = 16  # batches for each update; mmengine counts batches, so all lengths are multiplied by it
max_iters = 80000 * accumulated

model = dict(backbone=dict(with_cp=True))
train_dataloader = dict(batch_size=1)
optim_wrapper = dict(
    type='LowMemoryOptimWrapper',
    dtype='bfloat16',
    accumulative_counts=accumulated,
)
param_scheduler = [dict(each, end=(each['end'] - 1) * accumulated + 1) for each in _base_.param_scheduler]
train_cfg = dict(max_iters=max_iters, val_interval=8000 * accumulated)
default_hooks = dict(logger=dict(interval=50 * accumulated), checkpoint=dict(interval=8000 * accumulated))
