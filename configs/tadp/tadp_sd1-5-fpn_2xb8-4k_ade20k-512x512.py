"""TADP on ADE20K with the fast schedule, captions of 40 tokens or more."""

_base_ = [
    '../_base_/models/tadp_sd1-5_fpn.py',
    '../_base_/datasets/ade20k_captions_512x512.py',
    '../_base_/schedules/tadp_4k.py',
    'mmseg::_base_/default_runtime.py',
]

train_dataloader = dict(batch_size=8)
