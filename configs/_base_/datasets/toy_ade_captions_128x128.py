"""Toy scenes in the layout of ADE20K, with a caption of each scene."""

_base_ = './toy_ade_128x128.py'

captions_root = 'data/toy/captions'
load_caption = dict(type='LoadCaption', ann_file=f'{captions_root}/val.json')
meta_keys = ('img_path', 'ori_shape', 'img_shape', 'scale_factor', 'flip', 'flip_direction', 'text')
pack = dict(type='PackSegInputs', meta_keys=meta_keys)
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='LoadCaption', ann_file=f'{captions_root}/train.json'),
    pack,
]
test_pipeline = [*_base_.test_pipeline[:-1], load_caption, pack]
tta_transforms = _base_.tta_pipeline[1]['transforms']
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TestTimeAug', transforms=[*tta_transforms[:-1], [load_caption], [pack]]),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
