"""E2E-FT at laptop scale: tiny-sd instead of Stable Diffusion 2."""

_base_ = './e2e-ft_sd2.py'

model = dict(
    arch='tiny-sd',
    scheduler=dict(timestep_spacing='trailing'),  # the file of tiny-sd's schedule says leading
    with_cp=False,
    init_cfg=dict(checkpoint='tiny-sd'),
)
