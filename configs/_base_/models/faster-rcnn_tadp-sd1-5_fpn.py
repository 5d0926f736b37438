"""TADP for detection: Faster R-CNN with torchvision's settings on four levels, captions as prompts."""

_base_ = ['mmdet::_base_/models/faster-rcnn_r50_fpn.py', './sd1-5_unet.py']

custom_imports = dict(imports=['mmdiffperc'])

num_tokens = 77
num_classes = 20

model = dict(
    data_preprocessor=dict(**_base_.image_range, pad_size_divisor=64),
    backbone=dict(
        _delete_=True,
        **_base_.backbone,
        prompts=dict(type='CaptionPrompts', checkpoint=_base_.pretrained),
        cross_attention=_base_.cross_attention,
    ),
    neck=dict(in_channels=[width + num_tokens * maps for width, maps in _base_.taps], num_outs=4),
    rpn_head=dict(
        # Anchors of 32, 64, 128 and 256 pixels, one size for each level.
        anchor_generator=dict(scales=[4], strides=[8, 16, 32, 64]),
        loss_bbox=dict(type='SmoothL1Loss', beta=1 / 9),
    ),
    roi_head=dict(
        bbox_roi_extractor=dict(
            featmap_strides=[8, 16, 32, 64],
            roi_layer=dict(sampling_ratio=2, aligned=False),
        ),
        bbox_head=dict(num_classes=num_classes, loss_bbox=dict(type='SmoothL1Loss', beta=1 / 9)),
    ),
)
