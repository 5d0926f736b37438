"""Schedule of the toy configs: 600 batches in single precision with a higher learning rate."""

_base_ = './dmp_50k.py'

max_iters = 600
optim_wrapper = dict(
    _delete_=True, optimizer=dict(type='AdamW', lr=3e-3, weight_decay=1e-2, fused=True), clip_grad=dict(max_norm=1.0)
)
param_scheduler = [dict(type='CosineAnnealingLR', T_max=max_iters, eta_min=0.0, by_epoch=False)]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=200))
custom_hooks = [*_base_.custom_hooks, dict(type='StoreLatentsHook')]
randomness = dict(seed=0)
