"""VPD on NYU depth v2 with the recipe of mmsegmentation, with crops of 512. Published there: RMSE 0.258."""

_base_ = [
    '../_base_/models/vpd_sd1-5_depth.py',
    '../_base_/datasets/nyu.py',
    '../_base_/schedules/vpd_nyu_25k.py',
    'mmseg::_base_/default_runtime.py',
]

crop = 512
crop_size = (crop, crop)

model = dict(
    data_preprocessor=dict(size=crop_size),
    test_cfg=dict(_delete_=True, mode='slide_flip', crop_size=crop_size, stride=(128, 128), window_batch=4),
)
tta_model = dict(type='DepthTTAModel')

train_pipeline = [
    *_base_.load,
    _base_.mix,
    _base_.flip,
    dict(type='RandomResize', scale=(768, crop), ratio_range=(0.8, 1.5), keep_ratio=True),
    dict(type='RandomCrop', crop_size=crop_size),
    _base_.change_colours,
    _base_.pack,
]
test_pipeline = [
    _base_.load_test_image,
    dict(type='Resize', scale=(2048, crop), keep_ratio=True),
    _base_.load_depth,
    _base_.check_depth,
    _base_.pack,
]
resizes = [dict(type='Resize', scale=(int(2048 * ratio), int(crop * ratio)), keep_ratio=True) for ratio in (1.0, 1.25)]
tta_pipeline = [_base_.load_test_image, dict(type='TestTimeAug', transforms=[resizes, *_base_.views])]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
