"""mmdet's Mask R-CNN on Stable Diffusion 1.5. An upsampled level completes Mask R-CNN's strides, 4 to 64."""

_base_ = ['mmdet::_base_/models/mask-rcnn_r50_fpn.py', './sd1-5_det.py']

in_channels = _base_.in_channels

model = dict(
    data_preprocessor=_base_.data_preprocessor,
    backbone=dict(_delete_=True, **_base_.backbone),
    neck=[
        dict(type='FinerLevelNeck', in_channels=in_channels),
        dict(type='FPN', in_channels=[in_channels[0] // 2, *in_channels], out_channels=256, num_outs=5),
    ],
)
