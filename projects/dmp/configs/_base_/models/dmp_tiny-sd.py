"""DMP in miniature, on a laptop: tiny-sd instead of Stable Diffusion."""

_base_ = './dmp_sd1-4.py'

model = dict(arch='tiny-sd', init_cfg=dict(checkpoint='tiny-sd'))
