"""Depth of Hypersim and Virtual KITTI 2, mixed 9 to 1, as in the code of Marigold and E2E-FT.

``tools/dataset_converters/hypersim.py`` and ``virtual_kitti.py`` write the folders. Hypersim is resized to 480 x 640,
and Virtual KITTI 2 is cropped to 352 x 1216.
"""

load_image = dict(type='LoadRGBImageFromFile')
flip = dict(type='RandomFlip', prob=0.5)
pack = dict(type='PackTargetInputs')
hypersim_size = [dict(type='Resize', scale=(640, 480), interpolation='area'), flip, pack]
virtual_kitti_size = [dict(type='KBCrop'), flip, pack]
hypersim = dict(
    type='ListedTargetDataset',
    data_root='data/hypersim',
    ann_file='train_depth.txt',
    pipeline=[
        load_image,
        dict(type='LoadPublishedTarget', format='hypersim_depth', valid_range=(1e-5, 65.0)),
        *hypersim_size,
    ],
)
virtual_kitti = dict(
    type='ListedTargetDataset',
    data_root='data/virtual_kitti',
    ann_file='depth.txt',
    pipeline=[
        load_image,
        dict(type='LoadPublishedTarget', format='virtual_kitti_depth', valid_range=(1e-5, 80.0)),
        *virtual_kitti_size,
    ],
)

train_dataloader = dict(
    batch_size=2,
    num_workers=4,
    persistent_workers=True,
    dataset=dict(type='ConcatDataset', datasets=[hypersim, virtual_kitti]),
    sampler=dict(type='InfiniteSampler', shuffle=True),
    batch_sampler=dict(type='MixedBatchSampler', weights=[9, 1]),
)
