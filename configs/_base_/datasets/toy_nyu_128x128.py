"""Toy scenes in NYU's folders: ``python tools/make_toy_scenes.py data/toy_nyu --formats nyu``."""

_base_ = './depth_parts.py'

dataset_type = 'CheckedNYUDataset'
data_root = 'data/toy_nyu/nyu'
size = 128
max_depth = 10.0

train_pipeline = [
    dict(type='LoadRGBImageFromFile'),
    dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3),
    dict(type='CheckDepth', max_depth=max_depth),
    dict(type='RandomDepthMix', prob=0.25),
    dict(type='RandomFlip', prob=0.5),
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3),
    dict(type='CheckDepth', max_depth=max_depth),
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [dict(type='Resize', scale=(size, size), keep_ratio=True)],  # at 1.25 or 1.5 the depth gets worse
            [
                dict(type='RandomFlip', prob=0.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
            ],
            [dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3)],
            [dict(type='CheckDepth', max_depth=max_depth)],
            [dict(type='PackSegInputs', meta_keys=_base_.meta_keys)],
        ],
    ),
]
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
val_evaluator = dict(type='MonocularDepthMetric', min_depth_eval=1e-3, max_depth_eval=max_depth)
test_evaluator = val_evaluator
