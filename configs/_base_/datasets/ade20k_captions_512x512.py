"""ADE20K with a caption for each image, in the format of TADP."""

_base_ = './ade20k_512x512.py'

captions = 'data/captions/ade20k_captions_min=40_max=77.json'
meta_keys = (
    'img_path',
    'seg_map_path',
    'ori_shape',
    'img_shape',
    'pad_shape',
    'scale_factor',
    'flip',
    'flip_direction',
    'reduce_zero_label',
    'text',
)
pack = dict(type='PackSegInputs', meta_keys=meta_keys)
describe = [dict(type='LoadCaption', ann_file=captions), pack]
train_pipeline = [*_base_.train_pipeline[:-1], *describe]
test_pipeline = [*_base_.test_pipeline[:-1], *describe]
tta_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='TestTimeAug', transforms=[_base_.resizes, *_base_.views[:-1], *[[transform] for transform in describe]]),
]
train_dataloader = dict(dataset=dict(pipeline=train_pipeline))
val_dataloader = dict(dataset=dict(pipeline=test_pipeline))
test_dataloader = val_dataloader
