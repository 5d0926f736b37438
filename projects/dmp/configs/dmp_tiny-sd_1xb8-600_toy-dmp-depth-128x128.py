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
# The images are those of the data base: domain a for validation, domain b for testing.
evaluation = dict(dataset=dict(data_prefix=dict(target_path='targets/val/depth'), pipeline=_base_.depth_test_pipeline))
val_dataloader = evaluation
test_dataloader = evaluation
# The second computes the RMSE as the paper does, with each map scaled from its minimum to its maximum.
val_evaluator = [dict(type='DepthMapMetric'), dict(type='DepthMapMetric', normalise=True, prefix='normalised')]
test_evaluator = val_evaluator
