"""mmseg's NYU depth v2, with checks of folders and depth maps, and test-time augmentation.

``crop`` is the side of the square training images and the height of the test images. A config that
replaces it must also build its pipelines again.
"""

_base_ = ['mmseg::_base_/datasets/nyu.py', './depth_parts.py']

crop = 480

load = [_base_.load_image, _base_.load_depth, _base_.check_depth]
train_pipeline = [
    *load,
    _base_.mix,
    _base_.flip,
    dict(type='RandomCrop', crop_size=(crop, crop)),
    _base_.change_colours,
    _base_.pack,
]
test_pipeline = [
    _base_.load_test_image,
    dict(type='Resize', scale=(2000, crop), keep_ratio=True),
    _base_.load_depth,
    _base_.check_depth,
    _base_.pack,
]
resizes = [dict(type='Resize', scale=(int(2000 * ratio), int(crop * ratio)), keep_ratio=True) for ratio in (1.0, 1.25)]
tta_pipeline = [_base_.load_test_image, dict(type='TestTimeAug', transforms=[resizes, *_base_.views])]

train_dataloader = dict(dataset=dict(type='CheckedNYUDataset', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type='CheckedNYUDataset', pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='MonocularDepthMetric')
test_evaluator = val_evaluator
