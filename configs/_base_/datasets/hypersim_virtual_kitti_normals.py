"""Normals of Hypersim and Virtual KITTI 2, mixed 9 to 1, as in the code of E2E-FT."""

_base_ = './hypersim_virtual_kitti_depth.py'

hypersim = dict(
    ann_file='train_normals.txt',
    pipeline=[
        _base_.load_image,
        dict(type='LoadPublishedTarget', format='hypersim_normals'),
        *_base_.hypersim_size,
    ],
)
virtual_kitti = dict(
    ann_file='normals.txt',
    pipeline=[
        _base_.load_image,
        dict(type='LoadPublishedTarget', format='virtual_kitti_normals'),
        *_base_.virtual_kitti_size,
    ],
)
train_dataloader = dict(
    dataset=dict(
        datasets=[dict(_base_.hypersim, **hypersim), dict(_base_.virtual_kitti, **virtual_kitti)],
    ),
)
