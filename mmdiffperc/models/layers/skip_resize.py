"""Skip connections that are resized to the features from below."""

import torch.nn.functional as F
from torch import nn


def resize_skip_connections(unet: nn.Module):
    """Let the up blocks of a U-Net resize their skip connections, as the official code of MetaPrompts does.

    This changes results for latents whose sides cannot be halved evenly. diffusers upsamples to the size of the skip
    connection, so that the output is as large as the latents. Here every upsampling doubles the size, skip connections
    are resized to it bilinearly, and the sides of the output are those of the latents, rounded up to a size that can be
    halved evenly.

    Args:
        unet (nn.Module): A ``UNet2DConditionModel``, changed in place.
    """
    for block in unet.up_blocks:
        block.register_forward_pre_hook(_resize, with_kwargs=True)


def _resize(block, args, kwargs):
    size = kwargs['hidden_states'].shape[-2:]
    skips = tuple(
        skip if skip.shape[-2:] == size else F.interpolate(skip, size, mode='bilinear', align_corners=False)
        for skip in kwargs['res_hidden_states_tuple']
    )
    return args, {**kwargs, 'res_hidden_states_tuple': skips, 'upsample_size': None}
