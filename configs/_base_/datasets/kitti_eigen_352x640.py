"""KITTI with the split of Eigen et al. and training crops of 352 x 640, as in ECoDepth, which mixes no depth."""

_base_ = './kitti_eigen_352x1216.py'

train_pipeline = [
    _base_.load_image,
    _base_.load_depth,
    _base_.check_depth,
    _base_.benchmark_crop,
    _base_.flip,
    _base_.change_colours,
    dict(type='RandomCrop', crop_size=(352, 640)),
    _base_.pack,
]

train_dataloader = dict(
    batch_size=4,
    drop_last=True,
    sampler=dict(type='DefaultSampler'),
    dataset=dict(pipeline=train_pipeline),
)
val_evaluator = dict(clamp=True)
test_evaluator = val_evaluator
