"""VPD in miniature, on a laptop: tiny-sd and toy scenes. ``make demo`` runs it."""

_base_ = [
    '../_base_/models/vpd_sd1-5_fpn.py',
    '../_base_/datasets/toy_ade_128x128.py',
    '../_base_/schedules/toy_1800.py',
    'mmseg::_base_/default_runtime.py',
]

num_classes = 11
norm_cfg = dict(type='BN', requires_grad=True)

model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(
        arch='tiny-sd',
        scale_latents=True,
        prompts=dict(classes='ToyScenesDataset'),
        init_cfg=dict(checkpoint='tiny-sd'),
    ),
    neck=dict(in_channels=[64, 96 + num_classes, 96 + num_classes, 96], out_channels=64),
    decode_head=dict(in_channels=[64] * 4, channels=64, num_classes=num_classes, norm_cfg=norm_cfg),
    test_cfg=dict(_delete_=True, mode='whole'),
)

train_dataloader = dict(batch_size=4)
