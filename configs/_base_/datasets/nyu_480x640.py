"""NYU depth v2 without crops, as ECoDepth trains and tests on it."""

_base_ = './nyu.py'

train_pipeline = [*_base_.load, _base_.mix, _base_.flip, _base_.change_colours, _base_.pack]

train_dataloader = dict(
    batch_size=4,
    drop_last=True,
    sampler=dict(type='DefaultSampler'),
    dataset=dict(pipeline=train_pipeline),
)
val_evaluator = dict(crop_type='nyu_crop', clamp=True)
test_evaluator = val_evaluator
