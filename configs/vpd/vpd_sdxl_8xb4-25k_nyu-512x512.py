"""VPD on NYU depth v2 with Stable Diffusion XL. Nothing has been published for this combination.

The head joins four features of strides 8 to 64. SDXL has three levels, so the coarsest one is used twice.
"""

_base_ = ['./vpd_sd1-5_4xb8-25k_nyu-512x512.py', '../_base_/models/sdxl_unet.py']

model = dict(backbone=dict(**_base_.sdxl_backbone, out_indices=(0, 1, 2, 2), out_strides=(8, 16, 32, 64)))
train_dataloader = dict(batch_size=4)
