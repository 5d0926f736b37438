"""Control experiment without the prior: the U-Net starts from random weights, and all its weights are trained."""

_base_ = './dmp_tiny-sd_1xb8-600_toy-dmp-albedo-128x128.py'

model = dict(lora=None, init_cfg=dict(components=('vae', 'text_encoder')))
optim_wrapper = dict(optimizer=dict(lr=1e-3))
custom_hooks = [hook for hook in _base_.custom_hooks if hook.type != 'SaveLoRAHook']
