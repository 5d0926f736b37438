"""DMP for albedo."""

_base_ = [
    './_base_/models/dmp_sd1-4.py',
    './_base_/datasets/bedroom_512x512.py',
    './_base_/schedules/dmp_50k.py',
    './_base_/default_runtime.py',
]

train_dataloader = dict(dataset=dict(data_prefix=dict(target_path='targets/train/albedo')))
val_dataloader = dict(dataset=dict(data_prefix=dict(target_path='targets/val/albedo')))
test_dataloader = val_dataloader
val_evaluator = dict(type='ImageErrorMetric')
test_evaluator = val_evaluator
