"""ADE20K with the names of the classes in each image as its caption, read from the label maps, even for testing."""

_base_ = './ade20k_captions_512x512.py'

describe = [dict(type='NameClasses', classes='ADE20KDataset'), _base_.pack]
# The loaders of image and labels, and the check, come before the image is cropped.
train_pipeline = [*_base_.train_pipeline[:3], describe[0], *_base_.train_pipeline[3:-2], describe[1]]
test_pipeline = [*_base_.test_pipeline[:-2], *describe]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TestTimeAug', transforms=[_base_.resizes, *_base_.views[:-1], *[[transform] for transform in describe]]),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
