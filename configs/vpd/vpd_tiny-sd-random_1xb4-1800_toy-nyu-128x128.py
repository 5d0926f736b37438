"""Control experiment: the same, from a U-Net with random weights."""

_base_ = './vpd_tiny-sd_1xb4-1800_toy-nyu-128x128.py'

model = dict(backbone=dict(init_cfg=dict(components=('vae',))))
