"""DMP for albedo of toy scenes, at laptop scale."""

_base_ = [
    './_base_/models/dmp_tiny-sd.py',
    './_base_/datasets/toy_dmp_128x128.py',
    './_base_/schedules/toy_600.py',
    './_base_/default_runtime.py',
]

train_dataloader = dict(dataset=dict(data_prefix=dict(target_path='targets/train/albedo')))
# The base config of the data selects the images: domain a for validation, domain b for testing.
evaluation = dict(dataset=dict(data_prefix=dict(target_path='targets/val/albedo')))
val_dataloader = evaluation
test_dataloader = evaluation
val_evaluator = dict(type='ImageErrorMetric')
test_evaluator = val_evaluator
