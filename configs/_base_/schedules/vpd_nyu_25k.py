"""Schedule of mmseg's VPD for depth: 25k iterations, 12k of them rising."""

_base_ = 'mmseg::_base_/schedules/schedule_25k.py'

optim_wrapper = dict(
    constructor='BriefForceDefaultOptimWrapperConstructor',
    paramwise_cfg=dict(
        bias_decay_mult=0,
        force_default_settings=True,
        custom_keys={'backbone.unet': dict(lr_mult=0.01)},
    ),
)
default_hooks = dict(checkpoint=dict(save_best='rmse', rule='less', max_keep_ckpts=1))
custom_hooks = [dict(type='RandomStateHook'), dict(type='CheckFiniteHook')]
# All processes use the running statistics of batch norm of the main process, which saves them. This is torch's default
# and what the official runs did, but not mmengine's default.
model_wrapper_cfg = dict(type='MMDistributedDataParallel', broadcast_buffers=True)
