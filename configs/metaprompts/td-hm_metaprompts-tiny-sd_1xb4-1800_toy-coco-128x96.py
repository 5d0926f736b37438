"""MetaPrompts for pose estimation at laptop scale: tiny-sd and the figures of toy scenes."""

_base_ = [
    '../_base_/models/metaprompts_sd1-5_pose.py',
    '../_base_/models/tiny-sd_unet.py',
    '../_base_/datasets/toy_coco_keypoints_128x96.py',
    '../_base_/schedules/metaprompts_coco_210e.py',
]

num_prompts = 32
max_iters = 1800

model = dict(
    backbone=dict(**_base_.tiny_backbone, prompts=dict(num_prompts=num_prompts)),
    neck=dict(in_channels=_base_.tiny_channels, num_prompts=num_prompts, embed_dims=_base_.tiny_embed_dims),
    head=dict(in_channels=4 * num_prompts, conv_out_channels=(64,), decoder=_base_.codec),
    test_cfg=dict(shift_heatmap=False),
)

optim_wrapper = dict(optimizer=dict(lr=2e-3, weight_decay=1e-2, fused=True))
param_scheduler = [
    dict(type='LinearLR', start_factor=1e-3, begin=0, end=50, by_epoch=False),
    dict(type='PolyLR', power=1.0, eta_min=0.0, begin=0, end=max_iters, by_epoch=False),
]
train_cfg = dict(_delete_=True, type='IterBasedTrainLoop', max_iters=max_iters, val_interval=max_iters)
default_hooks = dict(
    logger=dict(log_metric_by_epoch=False), checkpoint=dict(by_epoch=False, interval=300, save_best=None)
)
log_processor = dict(by_epoch=False)
auto_scale_lr = dict(base_batch_size=4)
randomness = dict(seed=0)
