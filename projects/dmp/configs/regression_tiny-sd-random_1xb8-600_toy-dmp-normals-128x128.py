"""Control experiment: plain regression without the prior. All weights of the U-Net are trained, from random ones."""

_base_ = './regression_tiny-sd_1xb8-600_toy-dmp-normals-128x128.py'

model = dict(lora=None, init_cfg=dict(components=('vae', 'text_encoder')))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
custom_hooks = [hook for hook in _base_.custom_hooks if hook.type != 'SaveLoRAHook']
