"""VPD at laptop scale: tiny-sd and toy scenes."""

_base_ = [
    '../_base_/models/vpd_tiny-sd_fpn.py',
    '../_base_/datasets/toy_ade_128x128.py',
    '../_base_/schedules/toy_1800.py',
    'mmseg::_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(size=(128, 128)))
tta_model = dict(type='BatchedSegTTAModel')
