"""NYU depth v2 with a caption for each image, in ``data/nyu/captions.json``."""

_base_ = './nyu_captions.py'

load_caption = dict(type='LoadCaption', ann_file='data/nyu/captions.json')
pack = _base_.describe[-1]
train_pipeline = [*_base_.train_pipeline[:-2], load_caption, pack]
test_pipeline = [*_base_.test_pipeline[:-2], load_caption, pack]
tta_pipeline = [
    _base_.load_test_image,
    dict(type='TestTimeAug', transforms=[_base_.resizes, *_base_.views[:-1], [load_caption], [pack]]),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
