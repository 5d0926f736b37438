"""Larger toy scenes in the layout of ADE20K, for ``make demo``."""

_base_ = './toy_ade_128x128.py'

data_root = 'data/toy_192/ade'
size = 192

train_pipeline = _base_.train_pipeline
train_pipeline[3].scale = (size, size)
train_pipeline[4].crop_size = (size, size)
tta_pipeline = _base_.tta_pipeline
tta_pipeline[1].transforms[0] = [
    dict(type='Resize', scale=(int(size * ratio), int(size * ratio)), keep_ratio=True) for ratio in (1.0, 1.25, 1.5)
]
train_dataloader = dict(dataset=dict(data_root=data_root, pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(data_root=data_root))
test_dataloader = val_dataloader
