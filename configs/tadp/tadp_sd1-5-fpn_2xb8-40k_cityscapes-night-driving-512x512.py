"""TADP trained on Cityscapes and tested on Nighttime Driving, whose style the captions name."""

_base_ = [
    '../_base_/models/tadp_sd1-5_fpn.py',
    '../_base_/datasets/cityscapes_to_night-driving_512x512.py',
    '../_base_/schedules/tadp_40k.py',
    'mmseg::_base_/default_runtime.py',
]

model = dict(decode_head=dict(num_classes=19))
