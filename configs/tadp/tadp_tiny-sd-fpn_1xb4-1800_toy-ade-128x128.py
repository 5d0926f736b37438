"""TADP at laptop scale: tiny-sd, toy scenes and their captions."""

_base_ = [
    '../_base_/models/tadp_tiny-sd_fpn.py',
    '../_base_/datasets/toy_ade_captions_128x128.py',
    '../_base_/schedules/toy_1800.py',
    'mmseg::_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(size=(128, 128)))
