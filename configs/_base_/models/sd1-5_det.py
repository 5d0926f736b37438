"""Stable Diffusion 1.5 with the classes of the data set as prompts: the common base of the detectors."""

_base_ = './sd1-5_unet.py'

custom_imports = dict(imports=['mmdiffperc'])

num_classes = 80
in_channels = [width + num_classes * maps for width, maps in _base_.taps]

data_preprocessor = dict(**_base_.image_range, pad_size_divisor=64)
backbone = dict(
    prompts=dict(type='ClassPrompts', classes='CocoDataset', adapter=dict(type='TextAdapter')),
    cross_attention=_base_.cross_attention,
)
