"""Plain regression: a single pass of the same U-Net and adapter, trained with the squared error of pixels."""

_base_ = './dmp_tiny-sd_1xb8-600_toy-dmp-depth-128x128.py'

model = dict(
    _delete_=True,
    type='PixelRegression',
    arch='tiny-sd',
    target_mode='F',
    target_scale=10.0,
    lora=dict(r=16),
    init_cfg=dict(type='Pretrained', checkpoint='tiny-sd'),
)
