"""VPD at laptop scale with a tiny autoencoder, which imitates that of tiny-sd."""

_base_ = './vpd_tiny-sd-fpn_1xb4-1400_toy-ade-192x192.py'

model = dict(
    backbone=dict(
        arch=dict(_delete_=True, unet='tiny-sd', vae='tiny-taesd'),
        init_cfg=dict(checkpoint=dict(_delete_=True, unet='tiny-sd', vae='tiny-taesd', text_encoder='tiny-sd')),
    )
)
