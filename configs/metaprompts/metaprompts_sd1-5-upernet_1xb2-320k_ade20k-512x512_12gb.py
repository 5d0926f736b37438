"""The recipe of MetaPrompts for one GPU with 12 GB: that for 16 GB, with the weights of the U-Net in bfloat16."""

_base_ = './metaprompts_sd1-5-upernet_1xb2-320k_ade20k-512x512_16gb.py'

optim_wrapper = dict(bfloat16_weights=['backbone.unet'])
