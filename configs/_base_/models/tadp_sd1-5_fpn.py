"""TADP for semantic segmentation: captions as prompts, maps of their 77 tokens, Semantic FPN."""

_base_ = './vpd_sd1-5_fpn.py'

num_tokens = 77

model = dict(
    backbone=dict(
        prompts=dict(
            _delete_=True,
            type='CaptionPrompts',
            checkpoint=_base_.pretrained,  # needed by converted checkpoints, which contain no text encoder
        ),
        scale_latents=True,
        sample_latents=True,
    ),
    neck=dict(in_channels=[width + num_tokens * maps for width, maps in _base_.taps]),
)
