"""Captions and learned prompts together at laptop scale: tiny-sd, toy scenes and their captions."""

_base_ = './tadp_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py'

num_learned = 20
num_prompts = _base_.num_tokens + num_learned

model = dict(
    backbone=dict(
        prompts=dict(
            _delete_=True,
            type='CombinedPrompts',
            parts=[
                dict(type='CaptionPrompts', checkpoint='tiny-sd'),
                dict(type='MetaPrompts', num_prompts=num_learned),
            ],
        )
    ),
    neck=dict(in_channels=[width + num_prompts * maps for width, maps in _base_.tiny_taps]),
)
