"""MetaPrompts on ADE20K with Stable Diffusion XL. Nothing has been published for this combination.

The neck doubles the size of each level, so the features first get the strides that those of Stable Diffusion 1.5 have.
"""

_base_ = ['./metaprompts_sd1-5-upernet_8xb1-80k_ade20k-512x512.py', '../_base_/models/sdxl_unet.py']

num_levels = 3

model = dict(
    backbone=dict(**_base_.sdxl_backbone, resize_skips=False, out_strides=(8, 16, 32)),
    neck=dict(in_channels=_base_.sdxl_channels, embed_dims=_base_.sdxl_embed_dims),
    decode_head=dict(in_channels=[_base_.num_prompts] * num_levels, in_index=list(range(num_levels))),
)
