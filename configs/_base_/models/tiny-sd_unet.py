"""The U-Net of tiny-sd, which replaces Stable Diffusion 1.5 in the miniatures, and the widths of its features."""

# Channels of the features at strides 8, 16, 32 and 64, and the cross-attention maps per prompt, if a model uses maps.
tiny_taps = [(64, 0), (96, 1), (128, 1), (128, 0)]
tiny_channels = [width for width, _ in tiny_taps]
tiny_embed_dims = 96  # width of a prompt
tiny_backbone = dict(arch='tiny-sd', scale_latents=True, init_cfg=dict(checkpoint='tiny-sd'))
