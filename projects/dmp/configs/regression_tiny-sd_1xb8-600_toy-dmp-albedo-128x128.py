"""Plain regression: a single pass of the same U-Net and adapter, trained with the squared error of pixels."""

_base_ = './dmp_tiny-sd_1xb8-600_toy-dmp-albedo-128x128.py'

model = dict(loss_on='pixels', sampler='one_pass', prediction_type='sample', guidance_scale=1.0)
