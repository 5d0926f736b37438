"""The U-Net of Stable Diffusion 1.5 as a backbone, and the widths of its features, for the models of all hosts."""

pretrained = 'stable-diffusion-v1-5/stable-diffusion-v1-5'
# Channels of the features at strides 8, 16, 32 and 64, and the cross-attention maps per prompt, if a model uses maps.
taps = [(320, 0), (640, 1), (1280, 1), (1280, 0)]
channels = [width for width, _ in taps]
embed_dims = 768  # width of a prompt

backbone = dict(type='DiffusionUNet', arch='sd1-5', init_cfg=dict(type='Pretrained', checkpoint=pretrained))
cross_attention = dict(type='CrossAttentionMaps', strides=(16, 32))
image_range = dict(mean=[127.5] * 3, std=[127.5] * 3)  # to [-1, 1]
