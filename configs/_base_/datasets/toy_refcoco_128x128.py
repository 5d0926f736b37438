"""Toy scenes in RefCOCO's format.

The splits have the names of RefCOCO's splits. Every second validation scene belongs to val. The other scenes belong to
testA if they show a figure, and to testB otherwise.
"""

_base_ = './refcoco_512x512.py'

data_root = 'data/toy/refcoco/'
size = 128

resize = dict(type='Resize', scale=(size, size), keep_ratio=False, backend='pillow')
pack = _base_.pack
train_pipeline = [dict(type='LoadRGBImageFromFile'), dict(type='LoadReferringMask'), resize, pack]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadReferringMask'),
    resize,
    dict(type='EvaluateAtInputSize'),
    pack,
]

scenes = dict(
    data_root=data_root,
    data_prefix=dict(img_path='images/'),
    ann_file='instances.json',
    split_file='refs(unc).p',
)
train_dataloader = dict(
    batch_size=4,
    num_workers=0,
    persistent_workers=False,
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(**scenes, pipeline=train_pipeline),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    dataset=dict(**scenes, pipeline=test_pipeline),
)
test_dataloader = val_dataloader
