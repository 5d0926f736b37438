"""DMP for semantic segmentation of toy scenes, at laptop scale, as colours of the classes."""

_base_ = [
    './_base_/models/dmp_tiny-sd.py',
    './_base_/datasets/toy_dmp_128x128.py',
    './_base_/schedules/toy_600.py',
    './_base_/default_runtime.py',
]

train_dataloader = dict(dataset=dict(data_prefix=dict(target_path='targets/train/segmentation')))
# The base config of the data selects the images: domain a for validation, domain b for testing.
evaluation = dict(dataset=dict(data_prefix=dict(target_path='targets/val/segmentation')))
val_dataloader = evaluation
test_dataloader = evaluation
palette = [
    (120, 120, 120),
    (80, 50, 50),
    (255, 0, 0),
    (0, 255, 0),
    (0, 0, 255),
    (255, 255, 0),
    (255, 0, 255),
    (0, 255, 255),
    (255, 128, 0),
    (128, 0, 255),
    (255, 255, 255),
]
val_evaluator = dict(type='ColouredSegMetric', palette=palette, ignore_black=True)
test_evaluator = val_evaluator
