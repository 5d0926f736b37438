"""Hypersim and Virtual KITTI 2 for depth, up to 65 m and 80 m."""

_base_ = './hypersim_vkitti_parts.py'

load_hypersim = dict(type='LoadPublishedTarget', format='hypersim_depth', valid_range=(1e-5, 65.0))
load_virtual_kitti = dict(type='LoadPublishedTarget', format='virtual_kitti_depth', valid_range=(1e-5, 80.0))
train_dataloader = dict(
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                type='ListedTargetDataset',
                data_root='data/hypersim',
                ann_file='train_depth.txt',
                pipeline=[_base_.load_image, load_hypersim, _base_.resize, _base_.flip, _base_.pack],
            ),
            dict(
                type='ListedTargetDataset',
                data_root='data/virtual_kitti',
                ann_file='depth.txt',
                pipeline=[_base_.load_image, load_virtual_kitti, _base_.crop, _base_.flip, _base_.pack],
            ),
        ],
    )
)
val_dataloader = dict(
    dataset=dict(
        type='ListedTargetDataset',
        data_root='data/hypersim',
        ann_file='val_depth.txt',
        test_mode=True,
        pipeline=[_base_.load_image, _base_.resize, load_hypersim, _base_.pack],
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(type='DepthMapMetric', align='least_squares', max_depth=65.0)
test_evaluator = val_evaluator
