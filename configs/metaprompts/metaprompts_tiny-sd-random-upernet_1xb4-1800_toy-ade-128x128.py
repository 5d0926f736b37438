"""The control of the miniature: the same run from a random U-Net, everything else as pre-trained."""

_base_ = './metaprompts_tiny-sd-upernet_1xb4-1800_toy-ade-128x128.py'

model = dict(backbone=dict(init_cfg=dict(components=('vae',))))
