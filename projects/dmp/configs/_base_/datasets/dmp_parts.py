"""Parts of the pipelines and loaders of DMP's data sets."""

load_image = dict(type='LoadImageFromFile')
load_colours = dict(type='LoadTarget', mode='RGB')
load_depth = dict(type='LoadTarget', mode='F')
flip = dict(type='RandomFlip', prob=0.5)
pack = dict(type='PackTargetInputs')

train_dataloader = dict(
    sampler=dict(type='InfiniteSampler', shuffle=True),
    dataset=dict(type='ImageTargetDataset', data_prefix=dict(img_path='train')),
)
val_dataloader = dict(
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(type='ImageTargetDataset', data_prefix=dict(img_path='val'), test_mode=True),
)
test_dataloader = val_dataloader
