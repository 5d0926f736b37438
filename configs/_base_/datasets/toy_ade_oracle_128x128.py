"""Toy scenes in the layout of ADE20K, with the names of the classes in each scene as its caption."""

_base_ = './toy_ade_captions_128x128.py'

name_classes = dict(type='NameClasses', classes='ToyScenesDataset')
# The loaders of image and labels, and the check, come before the image is cropped.
train_pipeline = [*_base_.train_pipeline[:3], name_classes, *_base_.train_pipeline[3:-2], _base_.pack]
test_pipeline = [*_base_.test_pipeline[:-2], name_classes, _base_.pack]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TestTimeAug', transforms=[*_base_.tta_transforms[:-1], [name_classes], [_base_.pack]]),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
