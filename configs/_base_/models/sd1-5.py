"""Stable Diffusion 1.5 as the backbone of an mmseg model: what the models beside this file share."""

custom_imports = dict(imports=['mmdiffperc.seg'])

pretrained = 'stable-diffusion-v1-5/stable-diffusion-v1-5'

model = dict(
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[127.5] * 3,
        std=[127.5] * 3,
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
    ),
    backbone=dict(type='DiffusionUNet', arch='sd1-5', init_cfg=dict(type='Pretrained', checkpoint=pretrained)),
    train_cfg=dict(),
)
