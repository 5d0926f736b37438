"""mmseg's NYU depth v2 with crops of 480, its folders and depth files checked, and test-time augmentation."""

_base_ = ['mmseg::_base_/datasets/nyu.py', './depth_parts.py']

train_pipeline = [
    dict(type='LoadRGBImageFromFile'),
    dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3),
    dict(type='CheckDepth', max_depth=10.0),
    dict(type='RandomDepthMix', prob=0.25),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size=(480, 480)),
    _base_.change_colours,
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(2000, 480), keep_ratio=True),
    dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3),
    dict(type='CheckDepth', max_depth=10.0),
    dict(type='PackSegInputs', meta_keys=_base_.meta_keys),
]

tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='Resize', scale=(int(2000 * ratio), int(480 * ratio)), keep_ratio=True)
                for ratio in (1.0, 1.25)
            ],
            [
                dict(type='RandomFlip', prob=0.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
            ],
            [dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3)],
            [dict(type='CheckDepth', max_depth=10.0)],
            [dict(type='PackSegInputs', meta_keys=_base_.meta_keys)],
        ],
    ),
]

train_dataloader = dict(dataset=dict(type='CheckedNYUDataset', pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(type='CheckedNYUDataset', pipeline=test_pipeline))
test_dataloader = val_dataloader
val_evaluator = dict(type='MonocularDepthMetric')
test_evaluator = val_evaluator
