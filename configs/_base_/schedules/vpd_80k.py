"""Schedule of VPD and MetaPrompts for segmentation: 80k iterations of AdamW, linear warm-up times linear decay."""

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=8e-5, betas=(0.9, 0.999), weight_decay=1e-3, fused=True),
    paramwise_cfg=dict(
        custom_keys={
            'unet': dict(lr_mult=0.1),
            'norm': dict(decay_mult=0.0),
            # The original code names the norms of a residual block `in_layers.0` and `out_layers.0`. 'norm' does not
            # match these names, so the norms keep the rate and the decay of the U-Net. Here, they are under `resnets`.
            'resnets': dict(lr_mult=0.1),
            # Only MetaPrompts uses this norm. The original code names it `out.0`, which 'norm' does not match either.
            'conv_norm_out': dict(lr_mult=0.1),
        }
    ),
)

max_iters = 80000
param_scheduler = [
    # The two schedulers overlap, and their factors multiply: the warm-up scales the decaying rate, as mmcv's
    # `warmup='linear'` did. A scheduler takes `end - begin - 1` steps, hence the `+ 1`.
    dict(type='LinearLR', start_factor=1e-6, begin=0, end=1500 + 1, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=max_iters + 1, by_epoch=False),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=8000)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=8000, save_best='mIoU', max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)
custom_hooks = [dict(type='RandomStateHook'), dict(type='CheckFiniteHook')]
