"""The control of the miniature for referring segmentation: the same run from a random U-Net, all else pre-trained."""

_base_ = './vpd_tiny-sd-refer_1xb4-1800_toy-refcoco-128x128.py'

model = dict(backbone=dict(init_cfg=dict(components=('vae',))))
