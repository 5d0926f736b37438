"""E2E-FT from Marigold: normals."""

_base_ = ['../../_base_/models/e2e-ft_published.py', '../../_base_/zero_shot_normals.py']

model = dict(
    target_mode='normals',
    target_axes='E2E-FT',
    init_cfg=dict(type='Pretrained', checkpoint='GonzaloMG/marigold-e2e-ft-normals'),
)
