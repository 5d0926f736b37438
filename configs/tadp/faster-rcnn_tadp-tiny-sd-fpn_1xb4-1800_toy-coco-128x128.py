"""TADP for detection at laptop scale: tiny-sd, toy scenes and their captions."""

_base_ = [
    '../_base_/models/faster-rcnn_tadp-sd1-5_fpn.py',
    '../_base_/models/tiny-sd_unet.py',
    '../_base_/datasets/toy_coco_captions_128x128.py',
    '../_base_/schedules/toy_det_1800.py',
]

num_classes = 9
channels = 64

model = dict(
    backbone=dict(**_base_.tiny_backbone, prompts=dict(checkpoint='tiny-sd')),
    neck=dict(
        in_channels=[width + _base_.num_tokens * maps for width, maps in _base_.tiny_taps], out_channels=channels
    ),
    # Objects are 10 to 70 pixels large, so the anchors are half as large as those for 512 pixels.
    rpn_head=dict(in_channels=channels, feat_channels=channels, anchor_generator=dict(scales=[2])),
    roi_head=dict(
        bbox_roi_extractor=dict(out_channels=channels, finest_scale=28),
        bbox_head=dict(in_channels=channels, fc_out_channels=256, num_classes=num_classes),
    ),
    train_cfg=dict(
        rpn=dict(sampler=dict(num=128)),
        rpn_proposal=dict(nms_pre=500, max_per_img=200),
        rcnn=dict(sampler=dict(num=64)),
    ),
    test_cfg=dict(rpn=dict(nms_pre=500, max_per_img=200)),
)
