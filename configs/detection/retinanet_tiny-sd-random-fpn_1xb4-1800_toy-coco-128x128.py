"""Control experiment: the same, from a U-Net with random weights."""

_base_ = './retinanet_tiny-sd-fpn_1xb4-1800_toy-coco-128x128.py'

model = dict(backbone=dict(init_cfg=dict(components=('vae',))))
