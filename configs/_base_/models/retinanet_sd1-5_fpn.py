"""mmdet's RetinaNet on Stable Diffusion 1.5. Its four levels and a fifth level have RetinaNet's strides, 8 to 128."""

_base_ = ['mmdet::_base_/models/retinanet_r50_fpn.py', './sd1-5_det.py']

model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=dict(in_channels=_base_.in_channels, start_level=0),
)
