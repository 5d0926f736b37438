"""EVP for referring segmentation: Stable Diffusion 1.5, trained as a whole, the tokens of a sentence as prompts."""

_base_ = './sd1-5.py'

num_tokens = 40
channels = [width + num_tokens * maps for width, maps in _base_.taps]

model = dict(
    type='ReferringSegmentor',
    backbone=dict(
        prompts=dict(
            type='TextPrompts',
            max_length=num_tokens,
            checkpoint=_base_.pretrained,  # needed by checkpoints that contain no text encoder
            adapter=dict(type='TextAdapter'),
        ),
        cross_attention=_base_.cross_attention,
        latent_std=4.7164,  # of RefCOCO
        frozen=[],  # the autoencoder and the text encoder are trained too
    ),
    neck=dict(type='AttentiveRefinementNeck', in_channels=channels),
    decode_head=dict(
        type='SimpleDecodingHead',
        in_channels=channels,
        channels=640,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        loss_decode=dict(type='MaskedCrossEntropyLoss', class_weight=[0.9, 1.1]),
    ),
    test_cfg=dict(mode='whole'),
)
