"""DMP for surface normals of toy scenes, at laptop scale, as colours ``(n + 1) / 2``."""

_base_ = [
    './_base_/models/dmp_tiny-sd.py',
    './_base_/datasets/toy_dmp_128x128.py',
    './_base_/schedules/toy_600.py',
    './_base_/default_runtime.py',
]

train_dataloader = dict(
    dataset=dict(data_prefix=dict(target_path='targets/train/normals'), pipeline=_base_.normals_train_pipeline)
)
# The base config of the data selects the images: domain a for validation, domain b for testing.
evaluation = dict(dataset=dict(data_prefix=dict(target_path='targets/val/normals')))
val_dataloader = evaluation
test_dataloader = evaluation
val_evaluator = dict(type='NormalMapMetric')
test_evaluator = val_evaluator
