"""MetaPrompts at laptop scale, with one pass instead of three."""

_base_ = './metaprompts_tiny-sd-upernet_1xb4-1800_toy-ade-128x128.py'

model = dict(backbone=dict(num_refine_steps=1))
