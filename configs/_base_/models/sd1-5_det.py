"""Stable Diffusion 1.5 with prompts made of the data set's classes: what the detectors beside this file share."""

custom_imports = dict(imports=['mmdiffperc'])

pretrained = 'stable-diffusion-v1-5/stable-diffusion-v1-5'
num_classes = 80
channels = [320, 640 + num_classes, 1280 + num_classes, 1280]

data_preprocessor = dict(mean=[127.5] * 3, std=[127.5] * 3, pad_size_divisor=64)
backbone = dict(
    type='DiffusionUNet',
    arch='sd1-5',
    prompts=dict(type='ClassPrompts', classes='CocoDataset', adapter=dict(type='TextAdapter')),
    cross_attention=dict(type='CrossAttentionMaps', strides=(16, 32)),
    init_cfg=dict(type='Pretrained', checkpoint=pretrained),
)
