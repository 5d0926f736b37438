"""TADP trained on the objects of Pascal VOC and tested on Watercolor2k, whose style the captions name."""

_base_ = [
    '../_base_/models/faster-rcnn_tadp-sd1-5_fpn.py',
    '../_base_/datasets/voc0712_to_watercolor_512x512.py',
    '../_base_/schedules/tadp_det_100e.py',
]
