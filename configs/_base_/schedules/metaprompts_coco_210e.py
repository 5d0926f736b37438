"""Schedule of MetaPrompts for pose estimation: mmpose's 210 epochs, a tenth of the learning rate for the U-Net."""

_base_ = 'mmpose::_base_/default_runtime.py'

optim_wrapper = dict(
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=5e-4, betas=(0.9, 0.999), weight_decay=1e-3, fused=True),
    paramwise_cfg=dict(custom_keys={'unet': dict(lr_mult=0.1)}),
    clip_grad=dict(max_norm=1.0, norm_type=2),
)
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, begin=0, end=500, by_epoch=False),
    dict(type='MultiStepLR', milestones=[170, 200], gamma=0.1, begin=0, end=210, by_epoch=True),
]
auto_scale_lr = dict(base_batch_size=512)
train_cfg = dict(_delete_=True, type='EpochBasedTrainLoop', max_epochs=210, val_interval=10)
val_cfg = dict(type='ValLoop')
test_cfg = dict(type='TestLoop')
default_hooks = dict(checkpoint=dict(save_best='coco/AP', rule='greater', max_keep_ckpts=2))
custom_hooks = [*_base_.custom_hooks, dict(type='RandomStateHook'), dict(type='CheckFiniteHook')]
