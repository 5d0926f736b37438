"""VPD on RefCOCOg, which has longer sentences. Published: 63.12 oIoU, 66.42 mIoU on val."""

_base_ = [
    '../_base_/models/vpd_sd1-5_refer.py',
    '../_base_/datasets/refcocog_512x512.py',
    '../_base_/schedules/vpd_refcoco_40e.py',
    'mmseg::_base_/default_runtime.py',
]

visualizer = dict(type='InputSizeVisualizer')
num_tokens = 77

model = dict(
    backbone=dict(prompts=dict(max_length=num_tokens)),
    decode_head=dict(in_channels=[width + num_tokens * maps for width, maps in _base_.taps]),
)
log_processor = dict(by_epoch=True)
