"""Schedule of mmseg's VPD for depth: 25k iterations, with a learning rate that rises for 12k."""

_base_ = 'mmseg::_base_/schedules/schedule_25k.py'

optim_wrapper = dict(
    optimizer=dict(fused=True),
    constructor='BriefForceDefaultOptimWrapperConstructor',
    paramwise_cfg=dict(
        bias_decay_mult=0,
        force_default_settings=True,
        custom_keys={'backbone.unet': dict(lr_mult=0.01)},
    ),
)
default_hooks = dict(checkpoint=dict(save_best='rmse', rule='less', max_keep_ckpts=1))
custom_hooks = [dict(type='RandomStateHook'), dict(type='CheckFiniteHook')]
