"""VPD for referring segmentation at laptop scale: tiny-sd and toy scenes in RefCOCO's format."""

_base_ = [
    '../_base_/models/vpd_sd1-5_refer.py',
    '../_base_/models/tiny-sd_unet.py',
    '../_base_/datasets/toy_refcoco_128x128.py',
    '../_base_/schedules/toy_1800.py',
    'mmseg::_base_/default_runtime.py',
]

visualizer = dict(type='InputSizeVisualizer')

num_tokens = 32

model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(**_base_.tiny_backbone, prompts=dict(max_length=num_tokens, checkpoint='tiny-sd')),
    decode_head=dict(
        in_channels=[width + num_tokens * maps for width, maps in _base_.tiny_taps],
        channels=64,
        norm_cfg=dict(type='BN', requires_grad=True),
        # Objects cover a twentieth of the image, less than in RefCOCO. With RefCOCO's weights, the model finds none.
        loss_decode=dict(class_weight=[1.0, 5.0]),
    ),
)

default_hooks = dict(checkpoint=dict(save_best='oIoU', rule='greater'))
custom_hooks = [*_base_.custom_hooks, dict(type='StoreLatentsHook')]  # the images are not augmented
