"""Mask R-CNN on COCO: mmdet's own recipe, except for the backbone, the level of stride 4 and the optimizer."""

_base_ = [
    '../_base_/models/mask-rcnn_sd1-5_fpn.py',
    'mmdet::_base_/datasets/coco_instance.py',
    '../_base_/schedules/coco_det_1x.py',
]
