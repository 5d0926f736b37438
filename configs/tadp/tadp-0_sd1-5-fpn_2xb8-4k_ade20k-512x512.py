"""TADP on ADE20K with the fast schedule, captions of 0 tokens or more."""

_base_ = './tadp_sd1-5-fpn_2xb8-4k_ade20k-512x512.py'

captions = 'data/captions/ade20k_captions_min=0_max=77.json'
load_caption = dict(type='LoadCaption', ann_file=captions)
train_pipeline = [*_base_.train_pipeline[:-2], load_caption, _base_.pack]
test_pipeline = [*_base_.test_pipeline[:-2], load_caption, _base_.pack]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TestTimeAug', transforms=[_base_.resizes, *_base_.views[:-1], [load_caption], [_base_.pack]]),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
