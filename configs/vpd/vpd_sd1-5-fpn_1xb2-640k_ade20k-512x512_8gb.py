"""The recipe of VPD for one GPU with 8 GB: the recipe for 12 GB, with the weights of the U-Net in bfloat16."""

_base_ = './vpd_sd1-5-fpn_1xb2-640k_ade20k-512x512_12gb.py'

optim_wrapper = dict(bfloat16_weights=['backbone.unet'])
