"""Stable Diffusion 1.5 as the backbone of an mmseg model: the common base of the segmentation and depth models."""

_base_ = './sd1-5_unet.py'

custom_imports = dict(imports=['mmdiffperc.seg'])

model = dict(
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        **_base_.image_range,
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
    ),
    backbone=_base_.backbone,
    train_cfg=dict(),
)
