"""EVP for depth at laptop scale: tiny-sd and toy scenes in NYU's format, with the captions of the renderer."""

_base_ = [
    '../_base_/models/evp_sd1-5_depth.py',
    '../_base_/models/tiny-sd_unet.py',
    '../_base_/datasets/toy_nyu_captions_128x128.py',
    '../_base_/schedules/toy_1800.py',
    'mmseg::_base_/default_runtime.py',
]

num_tokens = 32
embed_dim = 48
channels = [width + num_tokens * maps for width, maps in _base_.tiny_taps]

model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(**_base_.tiny_backbone, prompts=dict(max_length=num_tokens)),  # its scale is 1 / standard deviation
    neck=dict(in_channels=channels, num_groups=16),
    decode_head=dict(
        in_channels=channels,
        embed_dim=embed_dim,
        feature_dim=8 * embed_dim,
        num_deconv_filters=(128, 64, 32),
        max_depth=10.0,
    ),
    test_cfg=dict(_delete_=True, mode='whole'),
)
optim_wrapper = dict(
    paramwise_cfg=dict(
        custom_keys={f'backbone.{part}': dict(lr_mult=0.01) for part in ('autoencoder', 'prompts.text_encoder')}
    )
)
tta_model = dict(type='DepthTTAModel')

default_hooks = dict(checkpoint=dict(save_best='rmse', rule='less'))
