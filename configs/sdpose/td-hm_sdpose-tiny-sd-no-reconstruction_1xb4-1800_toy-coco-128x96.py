"""Ablation: the same without the second task."""

_base_ = './td-hm_sdpose-tiny-sd_1xb4-1800_toy-coco-128x96.py'

model = dict(backbone=dict(reconstruction_weight=0.0))
