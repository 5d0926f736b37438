"""Original schedule of VPD for depth: 25 epochs, with a learning rate that rises for 12 and falls for 12."""

optim_wrapper = dict(
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=5e-4, betas=(0.9, 0.999), weight_decay=0.1, fused=True),
    constructor='BriefForceDefaultOptimWrapperConstructor',
    # "Flat" parameters have one axis: biases, norms, and the vector of the text adapter.
    paramwise_cfg=dict(
        flat_decay_mult=0,
        force_default_settings=True,
        custom_keys={'backbone.unet': dict(lr_mult=0.01)},
    ),
)

max_epochs = 25
param_scheduler = dict(
    type='PolyRiseFallLR',
    min_ratio=3e-5 / 5e-4,
    power=0.9,
    begin=0,
    end=max_epochs // 2 * 2,
    by_epoch=True,
    convert_to_iter_based=True,
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, save_best='rmse', rule='less', max_keep_ckpts=1),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)
custom_hooks = [dict(type='RandomStateHook'), dict(type='CheckFiniteHook')]
# All processes use the batch norm statistics of the main process, which saves them. This is torch's default, and the
# official runs did the same. mmengine's default differs.
model_wrapper_cfg = dict(type='MMDistributedDataParallel', broadcast_buffers=True)
