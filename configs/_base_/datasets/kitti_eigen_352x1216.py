"""KITTI, split of Eigen et al., benchmark crop of 352 x 1216: ``tools/dataset_converters/kitti.py`` writes the folders.

The training images are 352 x 352, as in the depth code of MetaPrompts; the colour augmentation is that of mmseg's NYU.
"""

_base_ = './depth_parts.py'

dataset_type = 'KITTIDepthDataset'
data_root = 'data/kitti'
max_depth = 80.0
meta_keys = (*_base_.meta_keys, 'sample_name')

train_pipeline = [
    dict(type='LoadRGBImageFromFile'),
    dict(type='LoadDepthAnnotation', depth_rescale_factor=1 / 256),
    dict(type='CheckDepth', max_depth=max_depth),
    dict(type='KBCrop', size=(352, 1216)),
    dict(type='RandomDepthMix', prob=0.25),
    dict(type='RandomFlip', prob=0.5),
    dict(type='RandomCrop', crop_size=(352, 352)),
    _base_.change_colours,
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadDepthAnnotation', depth_rescale_factor=1 / 256),
    dict(type='CheckDepth', max_depth=max_depth),
    dict(type='KBCrop', size=(352, 1216)),
    dict(type='PackSegInputs', meta_keys=meta_keys),
]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='KBCrop', size=(352, 1216), keys=['img']),
    dict(
        type='TestTimeAug',
        transforms=[
            [
                dict(type='RandomFlip', prob=0.0, direction='horizontal'),
                dict(type='RandomFlip', prob=1.0, direction='horizontal'),
            ],
            [dict(type='LoadDepthAnnotation', depth_rescale_factor=1 / 256)],
            [dict(type='KBCrop', size=(352, 1216), keys=['gt_depth_map'])],
            [dict(type='CheckDepth', max_depth=max_depth)],
            [dict(type='PackSegInputs', meta_keys=meta_keys)],
        ],
    ),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=8,
    persistent_workers=True,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type=dataset_type, data_root=data_root, ann_file='train.txt', pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=1,
    num_workers=4,
    persistent_workers=True,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type=dataset_type, data_root=data_root, ann_file='test.txt', test_mode=True, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
val_evaluator = dict(
    type='MonocularDepthMetric',
    min_depth_eval=1e-3,
    max_depth_eval=max_depth,
    crop_type='garg_crop',
    depth_scale_factor=256,
)
test_evaluator = val_evaluator
