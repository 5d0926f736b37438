"""E2E-FT at laptop scale: tiny-sd instead of Stable Diffusion 2, and GenPercept's timestep and prediction type."""

_base_ = './e2e-ft_sd2.py'

model = dict(
    arch='tiny-sd',
    # At the last timestep, a pre-trained U-Net takes its input for noise, and 600 batches do not change that.
    timestep=1,
    prediction_type='sample',
    with_cp=False,
    init_cfg=dict(checkpoint='tiny-sd'),
)
