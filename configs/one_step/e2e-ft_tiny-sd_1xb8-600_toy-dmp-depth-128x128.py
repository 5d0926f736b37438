"""E2E-FT for affine-invariant depth at laptop scale: tiny-sd and toy scenes."""

_base_ = [
    '../_base_/models/e2e-ft_tiny-sd.py',
    '../_base_/datasets/toy_targets_128x128.py',
    '../_base_/schedules/toy_one-step_600.py',
    '../_base_/target_runtime.py',
]

model = dict(target_mode='F', target_scale='quantiles', losses=[dict(type='ScaleShiftInvariantLoss')])
train_dataloader = dict(
    dataset=dict(data_prefix=dict(target_path='targets/train/depth'), pipeline=_base_.depth_train_pipeline)
)
# The base config of the data selects the images: domain a for validation, domain b for testing.
evaluation = dict(dataset=dict(data_prefix=dict(target_path='targets/val/depth'), pipeline=_base_.depth_test_pipeline))
val_dataloader = evaluation
test_dataloader = evaluation
val_evaluator = dict(type='DepthMapMetric', align='least_squares', max_depth=10.0, prefix='aligned')
test_evaluator = val_evaluator
