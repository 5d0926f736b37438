"""Hypersim and Virtual KITTI 2 for normals; Virtual KITTI has none, so they are derived from its depth."""

_base_ = './hypersim_vkitti_parts.py'

load_hypersim = dict(type='LoadPublishedTarget', format='hypersim_normals')
load_virtual_kitti = dict(type='LoadPublishedTarget', format='virtual_kitti_normals')
train_dataloader = dict(
    dataset=dict(
        type='ConcatDataset',
        datasets=[
            dict(
                type='ListedTargetDataset',
                data_root='data/hypersim',
                ann_file='train_normals.txt',
                pipeline=[_base_.load_image, load_hypersim, _base_.resize, _base_.flip, _base_.pack],
            ),
            dict(
                type='ListedTargetDataset',
                data_root='data/virtual_kitti',
                ann_file='normals.txt',
                pipeline=[_base_.load_image, load_virtual_kitti, _base_.crop, _base_.flip, _base_.pack],
            ),
        ],
    )
)
val_dataloader = dict(
    dataset=dict(
        type='ListedTargetDataset',
        data_root='data/hypersim',
        ann_file='val_normals.txt',
        test_mode=True,
        pipeline=[_base_.load_image, _base_.resize, load_hypersim, _base_.pack],
    )
)
test_dataloader = val_dataloader
val_evaluator = dict(type='NormalMapMetric', vectors=True)
test_evaluator = val_evaluator
