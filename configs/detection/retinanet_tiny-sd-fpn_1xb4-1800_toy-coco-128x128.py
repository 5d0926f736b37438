"""RetinaNet at laptop scale: tiny-sd and toy scenes."""

_base_ = [
    '../_base_/models/retinanet_sd1-5_fpn.py',
    '../_base_/models/tiny-sd_unet.py',
    '../_base_/datasets/toy_coco_instances_128x128.py',
    '../_base_/schedules/toy_det_1800.py',
]

num_classes = 9
channels = 64

model = dict(
    backbone=dict(**_base_.tiny_backbone, prompts=dict(classes=_base_.metainfo['classes'])),
    neck=dict(
        in_channels=[width + num_classes * maps for width, maps in _base_.tiny_taps],
        out_channels=channels,
        num_outs=4,
    ),
    bbox_head=dict(
        num_classes=num_classes,
        in_channels=channels,
        feat_channels=channels,
        stacked_convs=2,
        # Objects are 10 to 70 pixels large, so anchors start at 16 pixels instead of 32.
        anchor_generator=dict(octave_base_scale=2, strides=[8, 16, 32, 64]),
    ),
)
