"""The recipe of VPD for one GPU with 12 GB: 8 batches of 2 images an update, and an 8-bit optimizer."""

_base_ = './vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py'

accumulated = 8  # batches for each update; mmengine counts batches, so all lengths are multiplied by it
max_iters = 80000 * accumulated

model = dict(backbone=dict(with_cp=True))
optim_wrapper = dict(
    type='LowMemoryOptimWrapper',
    dtype='bfloat16',
    optimizer=dict(_delete_=True, type='AdamW8bit', lr=8e-5, betas=(0.9, 0.999), weight_decay=1e-3),
    accumulative_counts=accumulated,
)
param_scheduler = [dict(each, end=(each['end'] - 1) * accumulated + 1) for each in _base_.param_scheduler]
train_cfg = dict(max_iters=max_iters, val_interval=8000 * accumulated)
default_hooks = dict(logger=dict(interval=50 * accumulated), checkpoint=dict(interval=8000 * accumulated))
