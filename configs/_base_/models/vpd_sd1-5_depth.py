"""VPD for depth estimation: Stable Diffusion 1.5, one prompt per image for its scene class, no cross-attention maps."""

_base_ = './sd1-5.py'

model = dict(
    type='DiffusionDepthEstimator',
    data_preprocessor=dict(seg_pad_val=0, size=(480, 480)),  # 0: no measurement
    backbone=dict(
        prompts=dict(type='ScenePrompts', classes='NYUDataset', adapter=dict(type='TextAdapter')),
    ),
    decode_head=dict(
        type='AnySizeDepthHead',
        in_channels=_base_.channels,
        max_depth=10.0,
        loss_decode=dict(type='MaskedSiLogLoss'),
    ),
    test_cfg=dict(mode='shift', num_windows=2, flip=True),
)
