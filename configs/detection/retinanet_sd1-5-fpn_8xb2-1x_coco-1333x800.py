"""RetinaNet on COCO: mmdet's own recipe, except for the backbone and the optimizer."""

_base_ = [
    '../_base_/models/retinanet_sd1-5_fpn.py',
    'mmdet::_base_/datasets/coco_detection.py',
    '../_base_/schedules/coco_det_1x.py',
]
