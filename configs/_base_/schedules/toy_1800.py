"""Schedule of the toy configs: 1,800 small batches, a short warm-up, a higher rate than for full-size models."""

_base_ = './vpd_80k.py'

max_iters = 1800
optim_wrapper = dict(
    optimizer=dict(lr=2e-3, weight_decay=1e-2),
    # The U-Net learns at half the rate of the head, not at a tenth: the schedule is short.
    paramwise_cfg=dict(custom_keys={name: dict(lr_mult=0.5) for name in ('unet', 'resnets', 'conv_norm_out')}),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, begin=0, end=50, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=max_iters, by_epoch=False),
]
train_cfg = dict(max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(checkpoint=dict(interval=300))
randomness = dict(seed=0)
