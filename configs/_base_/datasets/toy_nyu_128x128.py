"""Toy scenes in the layout of NYU Depth v2."""

_base_ = './depth_parts.py'

dataset_type = 'CheckedNYUDataset'
data_root = 'data/toy/nyu'
size = 128

train_pipeline = [_base_.load_image, _base_.load_depth, _base_.check_depth, _base_.mix, _base_.flip, _base_.pack]
test_pipeline = [_base_.load_test_image, _base_.load_depth, _base_.check_depth, _base_.pack]
resizes = [dict(type='Resize', scale=(size, size), keep_ratio=True)]  # scales of 1.25 or 1.5 make the depth worse
tta_pipeline = [_base_.load_test_image, dict(type='TestTimeAug', transforms=[resizes, *_base_.views])]
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        data_prefix=dict(img_path='images/train', depth_map_path='annotations/train'),
        img_suffix='.png',
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type=dataset_type,
        data_root=data_root,
        test_mode=True,
        data_prefix=dict(img_path='images/test', depth_map_path='annotations/test'),
        img_suffix='.png',
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='MonocularDepthMetric', min_depth_eval=1e-3, max_depth_eval=_base_.max_depth)
test_evaluator = val_evaluator
