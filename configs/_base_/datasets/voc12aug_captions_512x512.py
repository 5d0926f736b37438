"""Pascal VOC 2012 with its additional training images and captions, squashed to 512 x 512, as TADP does.

Images of ``trainaug`` are those of ``train`` and of ``aug``. The mean IoU is computed at 512 x 512.
"""

_base_ = 'mmseg::_base_/datasets/pascal_voc12_aug.py'

captions = 'data/captions/pascal_captions_min=40_max=77.json'
size = (512, 512)
meta_keys = (
    'img_path',
    'seg_map_path',
    'ori_shape',
    'img_shape',
    'pad_shape',
    'scale_factor',
    'flip',
    'flip_direction',
    'reduce_zero_label',
    'text',
)
describe = [dict(type='LoadCaption', ann_file=captions), dict(type='PackSegInputs', meta_keys=meta_keys)]
check = dict(type='CheckLabels', num_classes=21)
squash = dict(type='Resize', scale=size, keep_ratio=False)
train_pipeline = [
    dict(type='LoadRGBImageFromFile'),
    dict(type='LoadAnnotations'),
    check,
    dict(type='PhotoMetricDistortion', brightness_delta=10, contrast_range=(1.0, 1.0), hue_delta=10),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomResize', scale=(2048, 512), ratio_range=(0.5, 2.0), keep_ratio=True),
    dict(type='RandomCrop', crop_size=size),
    squash,
    *describe,
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations'),
    check,
    squash,
    dict(type='EvaluateAtInputSize'),
    *describe,
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(
        type='TestTimeAug',
        transforms=[
            [squash],
            [
                dict(type='RandomFlip', prob=0.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
            ],
            [dict(type='LoadAnnotations')],
            [check],
            *[[transform] for transform in describe],
        ],
    ),
]
train_dataloader = dict(
    batch_size=2,
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        datasets=[
            dict(**{**_base_.dataset_train, 'pipeline': train_pipeline}),
            dict(**{**_base_.dataset_aug, 'pipeline': train_pipeline}),
        ]
    ),
)
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
