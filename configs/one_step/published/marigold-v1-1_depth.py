"""Marigold 1.1: affine-invariant depth."""

_base_ = ['../../_base_/models/marigold_v1-1.py', '../../_base_/zero_shot_depth.py']

model = dict(
    target_mode='F',
    target_scale='quantiles',
    init_cfg=dict(type='Pretrained', checkpoint='prs-eth/marigold-depth-v1-1'),
)
