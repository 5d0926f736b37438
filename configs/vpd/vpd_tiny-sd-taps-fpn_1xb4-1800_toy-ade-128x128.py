"""VPD at laptop scale whose finest level reads the outputs of the two last up blocks, which linear probes rate best."""

_base_ = './vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py'

model = dict(
    backbone=dict(
        taps=[
            dict(module=['up_blocks.2', 'up_blocks.3']),
            'up_blocks.2.attentions.1',
            'up_blocks.1.attentions.1',
            'up_blocks.0.resnets.1',
        ]
    ),
    neck=dict(in_channels=[sum(width for width, _ in _base_.tiny_taps[:2]), *_base_.model.neck.in_channels[1:]]),
)
