"""The second version of ECoDepth at laptop scale: tiny-sd and toy scenes in NYU's format."""

_base_ = [
    '../_base_/models/ecodepth-v2_sd1-5.py',
    '../_base_/models/tiny-sd_unet.py',
    '../_base_/datasets/toy_nyu_128x128.py',
    '../_base_/schedules/toy_1800.py',
    'mmseg::_base_/default_runtime.py',
]

embed_dim = 48

model = dict(
    data_preprocessor=dict(size=(128, 128)),
    backbone=dict(
        **_base_.tiny_backbone,
        prompts=dict(
            classifier=dict(
                image_size=64,
                patch_size=16,
                hidden_size=96,
                num_hidden_layers=2,
                num_attention_heads=4,
                intermediate_size=192,
            ),
            frozen=False,  # no classifier of toy scenes exists, so a small one is trained from scratch
        ),
    ),
    decode_head=dict(
        in_channels=_base_.tiny_channels,
        embed_dim=embed_dim,
        feature_dim=8 * embed_dim,
        num_deconv_filters=(128, 64, 32),
    ),
    test_cfg=dict(_delete_=True, mode='whole', flip=True),
)
tta_model = dict(type='DepthTTAModel')

default_hooks = dict(checkpoint=dict(save_best='rmse', rule='less'))
