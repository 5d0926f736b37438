"""VPD for referring segmentation: Stable Diffusion 1.5, a sentence's tokens as prompts, with cross-attention maps."""

custom_imports = dict(imports=['mmdiffperc.seg'])

pretrained = 'stable-diffusion-v1-5/stable-diffusion-v1-5'
num_tokens = 40

model = dict(
    type='ReferringSegmentor',
    data_preprocessor=dict(
        type='SegDataPreProcessor',
        mean=[127.5] * 3,
        std=[127.5] * 3,
        bgr_to_rgb=True,
        pad_val=0,
        seg_pad_val=255,
        size=(512, 512),
    ),
    backbone=dict(
        type='DiffusionUNet',
        arch='sd1-5',
        prompts=dict(
            type='TextPrompts',
            max_length=num_tokens,
            checkpoint=pretrained,  # for converted checkpoints, which hold no text encoder
            adapter=dict(type='TextAdapter'),
        ),
        cross_attention=dict(type='CrossAttentionMaps', strides=(16, 32)),
        init_cfg=dict(type='Pretrained', checkpoint=pretrained),
    ),
    decode_head=dict(
        type='SimpleDecodingHead',
        in_channels=[320, 640 + num_tokens, 1280 + num_tokens, 1280],
        channels=640,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        loss_decode=dict(type='CrossEntropyLoss', class_weight=[0.9, 1.1], avg_non_ignore=True),
    ),
    train_cfg=dict(),
    test_cfg=dict(mode='whole'),
)
