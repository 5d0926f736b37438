"""EVP for depth estimation: Stable Diffusion 1.5, trained as a whole, a caption for each image, metric bins."""

_base_ = './sd1-5.py'

num_tokens = 40
channels = [width + num_tokens * maps for width, maps in _base_.taps]

model = dict(
    type='DiffusionDepthEstimator',
    data_preprocessor=dict(seg_pad_val=0, size=(480, 480)),  # 0: no measurement
    backbone=dict(
        prompts=dict(type='CaptionPrompts', max_length=num_tokens, adapter=dict(type='TextAdapter')),
        cross_attention=_base_.cross_attention,
        frozen=[],  # the autoencoder and the text encoder are trained too
    ),
    neck=dict(
        type='AttentiveRefinementNeck',
        in_channels=channels,
        init_cfg=dict(type='TruncNormal', std=0.02, layer='Conv2d'),
    ),
    decode_head=dict(
        type='MetricBinsDepthHead',
        in_channels=channels,
        loss_decode=dict(type='MaskedSiLogLoss', pooled=True),
    ),
    test_cfg=dict(mode='shift', flip=True, window_batch=1),
)
