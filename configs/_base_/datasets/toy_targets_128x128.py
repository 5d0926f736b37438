"""Toy scenes with target maps: domain a for training and validation, domain b for testing.

To test in domain c (outdoors) or d (line drawings), run ``tools/make_toy_scenes.py --formats dmp_c dmp_d``, and pass
``--cfg-options test_dataloader.dataset.data_root=data/toy/dmp_c`` to the test.
"""

load_image = dict(type='LoadImageFromFile')
load_depth = dict(type='LoadTarget', mode='F')
load_normals = dict(type='LoadTarget', mode='normals')
resize = dict(type='Resize', scale=(128, 128))
flip = dict(type='RandomFlip', prob=0.5)  # PackTargetInputs mirrors normals
pack = dict(type='PackTargetInputs')

depth_train_pipeline = [load_image, load_depth, resize, flip, pack]
normals_train_pipeline = [load_image, load_normals, resize, flip, pack]
depth_test_pipeline = [load_image, resize, load_depth, pack]
normals_test_pipeline = [load_image, resize, load_normals, pack]

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type='ImageTargetDataset', data_root='data/toy/dmp', data_prefix=dict(img_path='train')),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='ImageTargetDataset', data_root='data/toy/dmp', data_prefix=dict(img_path='val'), test_mode=True),
)
test_dataloader = dict(val_dataloader, dataset=dict(val_dataloader['dataset'], data_root='data/toy/dmp_b'))
