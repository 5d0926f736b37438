"""Control experiment: class names instead of learned prompts."""

_base_ = './metaprompts_tiny-sd-upernet_1xb4-1800_toy-ade-128x128.py'

num_classes = 11

model = dict(
    backbone=dict(
        prompts=dict(_delete_=True, type='ClassPrompts', classes='ToyScenesDataset', adapter=dict(type='TextAdapter')),
    ),
    neck=dict(num_prompts=num_classes),
    decode_head=dict(in_channels=[num_classes] * 4),
    auxiliary_head=dict(in_channels=num_classes),
)
