"""DMP at laptop scale: tiny-sd instead of Stable Diffusion, and a higher rank for its narrow layers."""

_base_ = './dmp_sd1-4.py'

model = dict(arch='tiny-sd', lora=dict(r=16), init_cfg=dict(checkpoint='tiny-sd'))
