"""NYU depth v2 with a caption for each image, in ``data/nyu/captions.json``; otherwise as in VPD."""

_base_ = './nyu.py'

captions = dict(type='LoadCaption', ann_file='data/nyu/captions.json')
pack = dict(type='PackSegInputs', meta_keys=(*_base_.meta_keys, 'text'))

train_pipeline = [
    *_base_.load,
    captions,
    _base_.mix,
    _base_.flip,
    dict(type='RandomCrop', crop_size=(480, 480)),
    _base_.change_colours,
    pack,
]
test_pipeline = [
    _base_.load_test_image,
    captions,
    dict(type='Resize', scale=(2000, 480), keep_ratio=True),
    _base_.load_depth,
    _base_.check_depth,
    pack,
]
views = [_base_.both_directions, [_base_.load_depth], [_base_.check_depth], [pack]]
tta_pipeline = [
    _base_.load_test_image,
    captions,
    dict(type='TestTimeAug', transforms=[_base_.resizes, *views]),
]

train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
