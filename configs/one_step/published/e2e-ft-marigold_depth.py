"""E2E-FT from Marigold: affine-invariant depth."""

_base_ = ['../../_base_/models/e2e-ft_published.py', '../../_base_/zero_shot_depth.py']

model = dict(
    target_mode='F',
    target_scale='quantiles',
    init_cfg=dict(type='Pretrained', checkpoint='GonzaloMG/marigold-e2e-ft-depth'),
)
