"""VPD for referring segmentation: Stable Diffusion 1.5, the tokens of a sentence as prompts, cross-attention maps."""

_base_ = './sd1-5.py'

num_tokens = 40

model = dict(
    type='ReferringSegmentor',
    backbone=dict(
        prompts=dict(
            type='TextPrompts',
            max_length=num_tokens,
            checkpoint=_base_.pretrained,  # needed by converted checkpoints, which contain no text encoder
            adapter=dict(type='TextAdapter'),
        ),
        cross_attention=_base_.cross_attention,
    ),
    decode_head=dict(
        type='SimpleDecodingHead',
        in_channels=[width + num_tokens * maps for width, maps in _base_.taps],
        channels=640,
        norm_cfg=dict(type='SyncBN', requires_grad=True),
        loss_decode=dict(type='MaskedCrossEntropyLoss', class_weight=[0.9, 1.1]),
    ),
    test_cfg=dict(mode='whole'),
)
