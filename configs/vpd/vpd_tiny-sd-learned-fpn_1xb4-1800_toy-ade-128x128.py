"""Control experiment: as many learned prompts as there are classes, instead of class names and VPD's adapter."""

_base_ = './vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py'

model = dict(
    backbone=dict(prompts=dict(_delete_=True, type='MetaPrompts', num_prompts=_base_.num_classes)),
)
