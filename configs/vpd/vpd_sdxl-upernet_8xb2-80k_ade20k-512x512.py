"""VPD on ADE20K with Stable Diffusion XL and UPerNet. Nothing has been published for this combination."""

_base_ = './vpd_sdxl-fpn_8xb2-80k_ade20k-512x512.py'

model = dict(
    neck=None,
    decode_head=dict(
        _delete_=True,
        type='UPerHead',
        in_channels=_base_.model.neck.in_channels,
        in_index=[0, 1, 2],
        pool_scales=(1, 2, 3, 6),
        channels=512,
        dropout_ratio=0.1,
        num_classes=_base_.num_classes,
        norm_cfg=_base_.norm_cfg,
        align_corners=False,
        loss_decode=dict(type='CrossEntropyLoss', use_sigmoid=False, loss_weight=1.0),
    ),
)
