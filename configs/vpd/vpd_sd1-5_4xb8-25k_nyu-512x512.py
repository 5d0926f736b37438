"""VPD on NYU depth v2 by the recipe of mmsegmentation. Published there: RMSE 0.258."""

_base_ = [
    '../_base_/models/vpd_sd1-5_depth.py',
    '../_base_/datasets/nyu_512x512.py',
    '../_base_/schedules/vpd_nyu_25k.py',
    'mmseg::_base_/default_runtime.py',
]

crop_size = (512, 512)

model = dict(
    data_preprocessor=dict(size=crop_size),
    test_cfg=dict(_delete_=True, mode='slide_flip', crop_size=crop_size, stride=(128, 128)),
)
tta_model = dict(type='DepthTTAModel')
