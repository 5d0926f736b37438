"""Control experiment: the same, from a U-Net with random weights."""

_base_ = './e2e-ft_tiny-sd_1xb8-600_toy-dmp-normals-128x128.py'

model = dict(init_cfg=dict(components=('vae', 'text_encoder')))
