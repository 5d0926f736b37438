"""Schedule of E2E-FT: 20k updates of AdamW, exponential decay to 1 % after a linear warm-up of 100 updates.

An update accumulates the gradients of 16 batches. mmengine counts batches, so all lengths are multiplied by 16.
"""

accumulative_counts = 16
max_iters = 20_000 * accumulative_counts
warmup = 100 * accumulative_counts
optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=3e-5, betas=(0.9, 0.999), weight_decay=1e-2, fused=True),
    clip_grad=dict(max_norm=1.0),
    accumulative_counts=accumulative_counts,
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-6, begin=0, end=warmup, by_epoch=False),
    dict(
        type='ExponentialLR',
        gamma=0.01 ** (1 / (max_iters - warmup)),
        begin=warmup,
        end=max_iters,
        by_epoch=False,
    ),
]
train_cfg = dict(type='IterBasedTrainLoop', max_iters=max_iters, val_interval=5000 * accumulative_counts)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=50 * accumulative_counts, log_metric_by_epoch=False),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1000 * accumulative_counts, max_keep_ckpts=2),
    sampler_seed=dict(type='DistSamplerSeedHook'),
)
custom_hooks = [dict(type='RandomStateHook'), dict(type='CheckFiniteHook')]
log_processor = dict(by_epoch=False)
randomness = dict(seed=42)
