"""RetinaNet in miniature, on a laptop: tiny-sd and toy scenes."""

_base_ = [
    '../_base_/models/retinanet_sd1-5_fpn.py',
    '../_base_/datasets/toy_coco_instances_128x128.py',
    '../_base_/schedules/toy_det_1800.py',
]

num_classes = 9

model = dict(
    backbone=dict(
        arch='tiny-sd',
        scale_latents=True,
        prompts=dict(classes=_base_.metainfo['classes']),
        init_cfg=dict(checkpoint='tiny-sd'),
    ),
    neck=dict(in_channels=[64, 96 + num_classes, 96 + num_classes, 96], out_channels=64, num_outs=4),
    bbox_head=dict(
        num_classes=num_classes,
        in_channels=64,
        feat_channels=64,
        stacked_convs=2,
        # Objects are 10 to 70 pixels large: anchors start at 16 instead of 32.
        anchor_generator=dict(octave_base_scale=2, strides=[8, 16, 32, 64]),
    ),
)
