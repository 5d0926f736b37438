"""E2E-FT for affine-invariant depth, from Marigold, whose U-Net takes the target's latents already."""

_base_ = './e2e-ft_sd2_1xb2-320k_hypersim-vkitti-depth.py'

model = dict(init_cfg=dict(checkpoint='prs-eth/marigold-depth-v1-0'))
