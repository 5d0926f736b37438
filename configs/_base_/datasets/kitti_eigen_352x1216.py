"""KITTI with the split of Eigen et al. and the benchmark crop of 352 x 1216.

``tools/dataset_converters/kitti.py`` writes the folders. Training crops are 352 x 352, as in the depth code of
MetaPrompts. The colour augmentation is the same as in mmseg's NYU pipeline.
"""

_base_ = './depth_parts.py'

dataset_type = 'KITTIDepthDataset'
data_root = 'data/kitti'
max_depth = 80.0
load_depth = dict(type='LoadDepthAnnotation', depth_rescale_factor=1 / 256)
check_depth = dict(type='CheckDepth', max_depth=max_depth)
benchmark_crop = dict(type='KBCrop', size=(352, 1216))
pack = dict(type='PackSegInputs', meta_keys=(*_base_.meta_keys, 'sample_name'))

train_pipeline = [
    _base_.load_image,
    load_depth,
    check_depth,
    benchmark_crop,
    _base_.mix,
    _base_.flip,
    dict(type='RandomCrop', crop_size=(352, 352)),
    _base_.change_colours,
    pack,
]
test_pipeline = [_base_.load_test_image, load_depth, check_depth, benchmark_crop, pack]
crop_image = dict(**benchmark_crop, keys=['img'])
crop_depth = dict(**benchmark_crop, keys=['gt_depth_map'])
tta_pipeline = [
    _base_.load_test_image,
    crop_image,
    dict(
        type='TestTimeAug',
        transforms=[_base_.both_directions, [load_depth], [crop_depth], [check_depth], [pack]],
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
