"""Schedule of TADP for detection: 100 epochs of AdamW at a constant rate."""

_base_ = ['mmdet::_base_/schedules/schedule_1x.py', 'mmdet::_base_/default_runtime.py']

optim_wrapper = dict(
    _delete_=True,
    type='OptimWrapper',
    optimizer=dict(type='AdamW', lr=1e-5, betas=(0.9, 0.999), weight_decay=1e-2, fused=True),
)
param_scheduler = []
train_cfg = dict(max_epochs=100, val_interval=10)
default_hooks = dict(checkpoint=dict(save_best='pascal_voc/mAP', rule='greater', max_keep_ckpts=1))
custom_hooks = [dict(type='NumClassCheckHook'), dict(type='RandomStateHook'), dict(type='CheckFiniteHook')]
