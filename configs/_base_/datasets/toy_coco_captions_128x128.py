"""Objects of toy scenes in COCO's format, with a caption of each scene."""

_base_ = './toy_coco_instances_128x128.py'

captions_root = 'data/toy/captions'
meta_keys = ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'text')
train_pipeline = [
    *_base_.train_pipeline[:-1],
    dict(type='LoadCaption', ann_file=f'{captions_root}/train.json'),
    dict(type='PackDetInputs', meta_keys=(*meta_keys, 'flip', 'flip_direction')),
]
test_pipeline = [
    *_base_.test_pipeline[:-1],
    dict(type='LoadCaption', ann_file=f'{captions_root}/val.json'),
    dict(type='PackDetInputs', meta_keys=meta_keys),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
