"""TADP on ADE20K, told the classes in each image, in testing too. Published: 72.0 mIoU."""

_base_ = [
    '../_base_/models/tadp_sd1-5_fpn.py',
    '../_base_/datasets/ade20k_oracle_512x512.py',
    '../_base_/schedules/tadp_80k.py',
    'mmseg::_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=8)
