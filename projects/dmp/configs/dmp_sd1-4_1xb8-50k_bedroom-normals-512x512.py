"""DMP for surface normals, as colours ``(n + 1) / 2``."""

_base_ = [
    './_base_/models/dmp_sd1-4.py',
    './_base_/datasets/bedroom_512x512.py',
    './_base_/schedules/dmp_50k.py',
    './_base_/default_runtime.py',
]

train_dataloader = dict(
    dataset=dict(data_prefix=dict(target_path='targets/train/normals'), pipeline=_base_.normals_train_pipeline)
)
val_dataloader = dict(dataset=dict(data_prefix=dict(target_path='targets/val/normals')))
test_dataloader = val_dataloader
# `angular` is the official error, the angle between colours in radians; `mean` is the angle between normals in degrees.
val_evaluator = dict(type='NormalMapMetric')
test_evaluator = val_evaluator
