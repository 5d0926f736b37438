"""VPD on RefCOCO. Published: 73.46 oIoU, 75.67 mIoU on val."""

_base_ = [
    '../_base_/models/vpd_sd1-5_refer.py',
    '../_base_/datasets/refcoco_512x512.py',
    '../_base_/schedules/vpd_refcoco_40e.py',
    'mmseg::_base_/default_runtime.py',
]

visualizer = dict(type='InputSizeVisualizer')
log_processor = dict(by_epoch=True)
