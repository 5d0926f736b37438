"""Toy scenes in the layout of NYU Depth v2, with the captions of the renderer."""

_base_ = './toy_nyu_128x128.py'

pack = dict(type='PackSegInputs', meta_keys=(*_base_.meta_keys, 'text'))
train_captions = dict(type='LoadCaption', ann_file='data/toy/captions/train.json')
val_captions = dict(type='LoadCaption', ann_file='data/toy/captions/val.json')

train_pipeline = [
    _base_.load_image,
    train_captions,
    _base_.load_depth,
    _base_.check_depth,
    _base_.mix,
    _base_.flip,
    pack,
]
test_pipeline = [_base_.load_test_image, val_captions, _base_.load_depth, _base_.check_depth, pack]
views = [_base_.both_directions, [_base_.load_depth], [_base_.check_depth], [pack]]
tta_pipeline = [
    _base_.load_test_image,
    val_captions,
    dict(type='TestTimeAug', transforms=[_base_.resizes, *views]),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
