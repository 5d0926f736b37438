"""DMP for depth of toy scenes, at laptop scale, in metres."""

_base_ = [
    './_base_/models/dmp_tiny-sd.py',
    './_base_/datasets/toy_dmp_128x128.py',
    './_base_/schedules/toy_600.py',
    './_base_/default_runtime.py',
]

model = dict(target_mode='F', target_scale=10.0)
train_dataloader = dict(
    dataset=dict(data_prefix=dict(target_path='targets/train/depth'), pipeline=_base_.depth_train_pipeline)
)
# The base config of the data selects the images: domain a for validation, domain b for testing.
evaluation = dict(dataset=dict(data_prefix=dict(target_path='targets/val/depth'), pipeline=_base_.depth_test_pipeline))
val_dataloader = evaluation
test_dataloader = evaluation
# The second metric computes the RMSE as the paper does: it maps the range of each depth map to [0, 1] first. The third
# compares with models of relative depth.
val_evaluator = [
    dict(type='DepthMapMetric', max_depth=model['target_scale']),
    dict(type='DepthMapMetric', normalise=True, prefix='normalised'),
    dict(type='DepthMapMetric', align='least_squares', max_depth=model['target_scale'], prefix='aligned'),
]
test_evaluator = val_evaluator
