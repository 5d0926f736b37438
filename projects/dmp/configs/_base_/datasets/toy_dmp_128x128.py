"""Toy scenes: domain a for training and validation; domain b, which looks different, for testing."""

data_root = 'data/toy/dmp'
test_root = 'data/toy/dmp_b'
scale = (128, 128)

load_image = dict(type='LoadImageFromFile')
load_colours = dict(type='LoadTarget', mode='RGB')
load_depth = dict(type='LoadTarget', mode='F')
resize = dict(type='Resize', scale=scale)
flip = dict(type='RandomFlip', prob=0.5)
pack = dict(type='PackTargetInputs')

train_pipeline = [load_image, load_colours, resize, flip, pack]
# No flips, because mirroring a scene changes the normals, not only their positions.
normals_train_pipeline = [load_image, load_colours, resize, pack]
depth_train_pipeline = [load_image, load_depth, resize, flip, pack]
test_pipeline = [load_image, resize, load_colours, pack]
depth_test_pipeline = [load_image, resize, load_depth, pack]

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(
        type='ImageTargetDataset', data_root=data_root, data_prefix=dict(img_path='train'), pipeline=train_pipeline
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ImageTargetDataset',
        data_root=data_root,
        data_prefix=dict(img_path='val'),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
test_dataloader = dict(
    batch_size=8,
    num_workers=0,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='ImageTargetDataset',
        data_root=test_root,
        data_prefix=dict(img_path='val'),
        pipeline=test_pipeline,
        test_mode=True,
    ),
)
