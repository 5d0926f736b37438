"""E2E-FT from Stable Diffusion 2: affine-invariant depth."""

_base_ = ['../../_base_/models/e2e-ft_published.py', '../../_base_/zero_shot_depth.py']

model = dict(
    target_mode='F',
    target_scale='quantiles',
    init_cfg=dict(type='Pretrained', checkpoint='GonzaloMG/stable-diffusion-e2e-ft-depth'),
)
