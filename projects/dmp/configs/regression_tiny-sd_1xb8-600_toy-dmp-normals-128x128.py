"""Without the process: one pass of the same U-Net and adapter, trained by the squared error of pixels."""

_base_ = './dmp_tiny-sd_1xb8-600_toy-dmp-normals-128x128.py'

model = dict(type='PixelRegression', sampler='one_pass', prediction_type='sample', guidance_scale=1.0)
