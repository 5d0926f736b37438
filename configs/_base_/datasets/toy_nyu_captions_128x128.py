"""Toy scenes in the layout of NYU Depth v2, with a caption of each scene."""

_base_ = './toy_nyu_128x128.py'

captions_root = 'data/toy/captions'
load_caption = dict(type='LoadCaption', ann_file=f'{captions_root}/val.json')
pack = dict(type='PackSegInputs', meta_keys=(*_base_.meta_keys, 'text'))
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='LoadCaption', ann_file=f'{captions_root}/train.json'),
    pack,
]
test_pipeline = [*_base_.test_pipeline[:-1], load_caption, pack]
tta_pipeline = [
    _base_.load_test_image,
    dict(type='TestTimeAug', transforms=[_base_.resizes, *_base_.views[:-1], [load_caption], [pack]]),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
