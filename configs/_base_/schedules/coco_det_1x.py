"""Schedule for detection on COCO: mmdet's 1x (12 epochs) with AdamW and a tenth of the learning rate for the U-Net."""

_base_ = ['mmdet::_base_/schedules/schedule_1x.py', 'mmdet::_base_/default_runtime.py']

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    constructor='GroupedOptimWrapperConstructor',
    optimizer=dict(type='AdamW', lr=1e-4, betas=(0.9, 0.999), weight_decay=1e-2, fused=True),
    paramwise_cfg=dict(custom_keys={'unet': dict(lr_mult=0.1)}),
    clip_grad=dict(max_norm=1.0, norm_type=2),
)
default_hooks = dict(checkpoint=dict(save_best='coco/bbox_mAP', rule='greater', max_keep_ckpts=1))
custom_hooks = [dict(type='NumClassCheckHook'), dict(type='RandomStateHook'), dict(type='CheckFiniteHook')]
