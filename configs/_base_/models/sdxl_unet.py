"""The U-Net of Stable Diffusion XL, which replaces Stable Diffusion 1.5, and the widths of its features.

SDXL was trained on images of 1024 pixels, so the backbone enlarges crops of 512 pixels. All strides are halved.
"""

sdxl_pretrained = 'stabilityai/stable-diffusion-xl-base-1.0'
# Channels of the features at strides 4, 8 and 16, and the cross-attention maps per prompt, if a model uses maps.
sdxl_taps = [(320, 0), (640, 1), (1280, 1)]
sdxl_channels = [width for width, _ in sdxl_taps]
sdxl_embed_dims = 2048  # width of a prompt

sdxl_backbone = dict(arch='sdxl', input_scale=2.0, with_cp=True, init_cfg=dict(checkpoint=sdxl_pretrained))
sdxl_cross_attention = dict(strides=(8, 16))
