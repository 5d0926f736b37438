"""Mask R-CNN at laptop scale: tiny-sd and toy scenes."""

_base_ = [
    '../_base_/models/mask-rcnn_sd1-5_fpn.py',
    '../_base_/models/tiny-sd_unet.py',
    '../_base_/datasets/toy_coco_instances_128x128.py',
    '../_base_/schedules/toy_det_1800.py',
]

num_classes = 9
channels = 64
in_channels = [width + num_classes * maps for width, maps in _base_.tiny_taps]
# Objects are 10 to 70 pixels large, so the anchors are half as large as mmdet's, and `finest_scale` is a quarter.
roi_extractor = dict(out_channels=channels, finest_scale=14)

model = dict(
    backbone=dict(**_base_.tiny_backbone, prompts=dict(classes=_base_.metainfo['classes'])),
    neck=[
        dict(type='FinerLevelNeck', in_channels=in_channels),
        dict(type='FPN', in_channels=[in_channels[0] // 2, *in_channels], out_channels=channels, num_outs=5),
    ],
    rpn_head=dict(in_channels=channels, feat_channels=channels, anchor_generator=dict(scales=[4])),
    roi_head=dict(
        bbox_roi_extractor=roi_extractor,
        bbox_head=dict(in_channels=channels, fc_out_channels=256, num_classes=num_classes),
        mask_roi_extractor=roi_extractor,
        mask_head=dict(in_channels=channels, conv_out_channels=channels, num_convs=2, num_classes=num_classes),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200)),
)

val_evaluator = dict(metric=['bbox', 'segm'])
test_evaluator = val_evaluator
