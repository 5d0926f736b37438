"""VPD on NYU depth v2 with the recipe of mmsegmentation. Published there: RMSE 0.253."""

_base_ = [
    '../_base_/models/vpd_sd1-5_depth.py',
    '../_base_/datasets/nyu.py',
    '../_base_/schedules/vpd_nyu_25k.py',
    'mmseg::_base_/default_runtime.py',
]

crop_size = (_base_.crop, _base_.crop)

model = dict(
    test_cfg=dict(_delete_=True, mode='slide_flip', crop_size=crop_size, stride=(160, 160), window_batch=4),
)
tta_model = dict(type='DepthTTAModel')
