"""TADP on ADE20K, captions of 40 words or more. Published: 54.8 mIoU single-scale, 55.9 multi-scale with flip."""

_base_ = [
    '../_base_/models/tadp_sd1-5_fpn.py',
    '../_base_/datasets/ade20k_captions_512x512.py',
    '../_base_/schedules/tadp_80k.py',
    'mmseg::_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=8)
