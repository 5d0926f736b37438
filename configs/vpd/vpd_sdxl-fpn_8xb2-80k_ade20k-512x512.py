"""VPD on ADE20K with Stable Diffusion XL. Nothing has been published for this combination."""

_base_ = [
    '../_base_/models/vpd_sd1-5_fpn.py',
    '../_base_/models/sdxl_unet.py',
    '../_base_/datasets/ade20k_512x512.py',
    '../_base_/schedules/vpd_80k.py',
    'mmseg::_base_/default_runtime.py',
]

num_classes = 150
num_levels = 3

model = dict(
    backbone=dict(**_base_.sdxl_backbone, cross_attention=_base_.sdxl_cross_attention),
    neck=dict(
        in_channels=[width + num_classes * maps for width, maps in _base_.sdxl_taps],
        num_outs=num_levels,
    ),
    decode_head=dict(
        in_channels=[_base_.fpn_channels] * num_levels,
        in_index=list(range(num_levels)),
        feature_strides=[4, 8, 16],
    ),
)
tta_model = dict(type='BatchedSegTTAModel')
