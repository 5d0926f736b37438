"""Toy scenes: domain a for training and validation; domain b, which looks different, for testing.

To test in domain c (outdoors) or d (line drawings), run ``tools/make_toy_scenes.py --formats dmp_c dmp_d``, and pass
``--cfg-options test_dataloader.dataset.data_root=data/toy/dmp_c`` to the test.
"""

_base_ = './dmp_parts.py'

data_root = 'data/toy/dmp'
test_root = 'data/toy/dmp_b'
scale = (128, 128)

resize = dict(type='Resize', scale=scale)
train_pipeline = [_base_.load_image, _base_.load_colours, resize, _base_.flip, _base_.pack]
# No flips, because mirroring a scene changes the normals, not only their positions.
normals_train_pipeline = [_base_.load_image, _base_.load_colours, resize, _base_.pack]
depth_train_pipeline = [_base_.load_image, _base_.load_depth, resize, _base_.flip, _base_.pack]
test_pipeline = [_base_.load_image, resize, _base_.load_colours, _base_.pack]
depth_test_pipeline = [_base_.load_image, resize, _base_.load_depth, _base_.pack]

train_dataloader = dict(batch_size=8, num_workers=0, dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(batch_size=8, num_workers=0, dataset=dict(data_root=data_root, pipeline=test_pipeline))
test_dataloader = dict(batch_size=8, num_workers=0, dataset=dict(data_root=test_root, pipeline=test_pipeline))
