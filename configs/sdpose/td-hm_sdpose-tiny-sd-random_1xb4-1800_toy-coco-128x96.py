"""Control experiment: the same, from a U-Net with random weights."""

_base_ = './td-hm_sdpose-tiny-sd_1xb4-1800_toy-coco-128x96.py'

model = dict(backbone=dict(init_cfg=dict(components=('vae',))))
