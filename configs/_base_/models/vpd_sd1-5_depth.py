"""VPD for depth estimation: Stable Diffusion 1.5, one prompt per image, that of its scene; no cross-attention maps."""

custom_imports = dict(imports=['mmdiffperc.seg'])

pretrained = 'stable-diffusion-v1-5/stable-diffusion-v1-5'

model = dict(
    type='DiffusionDepthEstimator',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[127.5] * 3,
        std=[127.5] * 3,
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=0,  # no measurement
        size=(480, 480),
    ),
    backbone=dict(
        type='DiffusionUNet',
        arch='sd1-5',
        prompts=dict(type='ScenePrompts', classes='NYUDataset', adapter=dict(type='TextAdapter')),
        init_cfg=dict(type='Pretrained', checkpoint=pretrained),
    ),
    decode_head=dict(
        type='AnySizeDepthHead',
        in_channels=[320, 640, 1280, 1280],
        max_depth=10.0,
        loss_decode=dict(type='MaskedSiLogLoss'),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='shift', num_windows=2, flip=True),
)
