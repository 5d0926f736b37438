"""NYU depth v2 with a caption for each image, in the format of TADP."""

_base_ = './nyu.py'

captions = 'data/captions/nyuv2_captions_min=40_max=77.json'
describe = [
    dict(type='LoadCaption', ann_file=captions),
    dict(type='PackSegInputs', meta_keys=(*_base_.meta_keys, 'text')),
]
train_pipeline = [*_base_.train_pipeline[:-1], *describe]
test_pipeline = [*_base_.test_pipeline[:-1], *describe]
tta_pipeline = [
    _base_.load_test_image,
    dict(type='TestTimeAug', transforms=[_base_.resizes, *_base_.views[:-1], *[[transform] for transform in describe]]),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
