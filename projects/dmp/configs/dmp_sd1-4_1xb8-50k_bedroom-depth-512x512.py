"""DMP for depth, in metres."""

_base_ = [
    './_base_/models/dmp_sd1-4.py',
    './_base_/datasets/bedroom_512x512.py',
    './_base_/schedules/dmp_50k.py',
    './_base_/default_runtime.py',
]

model = dict(target_mode='F', target_scale=8.0)
train_dataloader = dict(
    dataset=dict(data_prefix=dict(target_path='targets/train/depth'), pipeline=_base_.depth_train_pipeline)
)
val_dataloader = dict(
    dataset=dict(data_prefix=dict(target_path='targets/val/depth'), pipeline=_base_.depth_test_pipeline)
)
test_dataloader = val_dataloader
# The second metric computes the RMSE as the paper does: it maps the range of each depth map to [0, 1] first.
val_evaluator = [dict(type='DepthMapMetric'), dict(type='DepthMapMetric', normalise=True, prefix='normalised')]
test_evaluator = val_evaluator
