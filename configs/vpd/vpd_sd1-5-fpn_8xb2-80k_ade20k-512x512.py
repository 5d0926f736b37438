"""VPD on ADE20K. Published: 53.7 mIoU single-scale, 54.6 multi-scale with flip."""

_base_ = [
    '../_base_/models/vpd_sd1-5_fpn.py',
    '../_base_/datasets/ade20k_512x512.py',
    '../_base_/schedules/vpd_80k.py',
    'mmseg::_base_/default_runtime.py',
]
tta_model = dict(type='BatchedSegTTAModel')
