"""Schedule of VPD for referring segmentation: 40 epochs with one learning rate for all trained weights."""

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-5, betas=(0.9, 0.999), weight_decay=1e-2, fused=True),
    paramwise_cfg=dict(
        custom_keys={
            'norm': dict(decay_mult=0.0),
            # The original code names the norms of a residual block `in_layers.0` and `out_layers.0`. 'norm' does not
            # match these names, so these norms decay. Here, they are under `resnets`. (The head's norms also decay.)
            'resnets': dict(decay_mult=1.0),
        }
    ),
)

max_epochs = 40
param_scheduler = dict(
    type='PolynomialLR', power=0.9, eta_min=0.0, begin=0, end=max_epochs, by_epoch=True, convert_to_iter_based=True
)
train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=max_epochs, val_interval=1)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(
    timer=dict(type='IterTimerHook'),
    logger=dict(type='LoggerHook', interval=100),
    param_scheduler=dict(type='ParamSchedulerHook'),
    checkpoint=dict(type='CheckpointHook', interval=1, save_best='oIoU', rule='greater', max_keep_ckpts=1),
    sampler_seed=dict(type='DistSamplerSeedHook'),
    visualization=dict(type='SegVisualizationHook'),
)
custom_hooks = [dict(type='RandomStateHook'), dict(type='CheckFiniteHook')]
