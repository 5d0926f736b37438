"""VPD at laptop scale on larger toy scenes. ``make demo`` runs it."""

_base_ = [
    '../_base_/models/vpd_tiny-sd_fpn.py',
    '../_base_/datasets/toy_ade_192x192.py',
    '../_base_/schedules/toy_1400.py',
    'mmseg::_base_/default_runtime.py',
]

model = dict(data_preprocessor=dict(size=(192, 192)))
tta_model = dict(type='BatchedSegTTAModel')
