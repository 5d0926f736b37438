"""DMP in miniature, on a laptop: tiny-sd instead of Stable Diffusion, whose narrow layers want a higher rank."""

_base_ = './dmp_sd1-4.py'

model = dict(arch='tiny-sd', lora=dict(r=16), init_cfg=dict(checkpoint='tiny-sd'))
