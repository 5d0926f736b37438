"""Lotus-D 1.0: affine-invariant depth."""

_base_ = ['../../_base_/models/lotus-d_published.py', '../../_base_/zero_shot_depth.py']

model = dict(
    target_mode='F',
    target_scale='quantiles',
    init_cfg=dict(type='Pretrained', checkpoint='jingheya/lotus-depth-d-v1-0'),
)
