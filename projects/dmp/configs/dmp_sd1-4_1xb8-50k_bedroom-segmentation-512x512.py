"""DMP for semantic segmentation, as colours of the classes."""

_base_ = [
    './_base_/models/dmp_sd1-4.py',
    './_base_/datasets/bedroom_512x512.py',
    './_base_/schedules/dmp_50k.py',
    './_base_/default_runtime.py',
]

train_dataloader = dict(dataset=dict(data_prefix=dict(target_path='targets/train/segmentation')))
val_dataloader = dict(dataset=dict(data_prefix=dict(target_path='targets/val/segmentation')))
test_dataloader = val_dataloader
# Classes of ADE20K that occur in bedrooms.
classes = [
    0, 3, 5, 7, 8, 10, 14, 15, 17, 18, 19, 22, 27, 28, 30, 36, 39, 41, 44, 57, 66, 67, 82, 85, 97, 125, 131, 134, 135
]  # fmt: skip
val_evaluator = dict(type='ColouredSegMetric', palette='ade20k_bedroom', classes=classes)
test_evaluator = val_evaluator
