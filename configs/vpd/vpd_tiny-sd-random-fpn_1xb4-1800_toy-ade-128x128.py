"""Control experiment: the same training, but the U-Net starts from random weights."""

_base_ = './vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py'

model = dict(backbone=dict(init_cfg=dict(components=('vae',))))
