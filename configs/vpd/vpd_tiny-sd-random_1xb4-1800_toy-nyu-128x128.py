"""The control of the miniature for depth: the same run from a random U-Net, everything else as pre-trained."""

_base_ = './vpd_tiny-sd_1xb4-1800_toy-nyu-128x128.py'

model = dict(backbone=dict(init_cfg=dict(components=('vae',))))
