"""ECoDepth: Stable Diffusion 1.5, one prompt made of the classes that a frozen ViT sees, VPD's head without a cut."""

_base_ = './sd1-5.py'

model = dict(
    type='DiffusionDepthEstimator',
    data_preprocessor=dict(seg_pad_val=0, size=(480, 640)),  # 0: no measurement
    backbone=dict(
        prompts=dict(type='ImageClassPrompts', num_scenes=100, adapter=dict(type='TextAdapter')),
        scale_latents=True,
    ),
    decode_head=dict(
        type='AnySizeDepthHead',
        in_channels=_base_.channels,
        max_depth=10.0,
        padding='black',
        cut='depth',
        loss_decode=dict(type='MaskedSiLogLoss', variance_focus=0.85, loss_weight=10.0, pooled=True),
        init_cfg=dict(
            type='TruncNormal',
            std=0.02,
            layer=['Conv2d', 'Linear'],
            override=dict(type='Normal', name='depth_pred_layer', std=0.001),
        ),
    ),
    test_cfg=dict(mode='whole', flip=True),
)
