"""The control of the miniature for pose: the same run from a random U-Net, everything else as pre-trained."""

_base_ = './td-hm_metaprompts-tiny-sd_1xb4-1800_toy-coco-128x96.py'

model = dict(backbone=dict(init_cfg=dict(components=('vae',))))
