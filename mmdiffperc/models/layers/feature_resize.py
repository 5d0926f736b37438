"""Resize features: the ones that the backbone returns, and the skip connections inside the U-Net."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import nn


def resize_features(
    features: Sequence[torch.Tensor], strides: Sequence[int], image_size: Sequence[int]
) -> tuple[torch.Tensor, ...]:
    """Resize features to given strides.

    Features that grow are interpolated bilinearly, and features that shrink are averaged over areas. A feature that
    already has the right size is returned unchanged.

    Args:
        features (Sequence[Tensor]): ``(B, C_i, h_i, w_i)`` each.
        strides (Sequence[int]): Pixels per cell of each feature.
        image_size (Sequence[int]): ``(H, W)``.

    Returns:
        tuple[Tensor]: ``(B, C_i, ceil(H / stride_i), ceil(W / stride_i))`` each.
    """
    return tuple(
        _resize(feature, tuple(-(-side // stride) for side in image_size))
        for feature, stride in zip(features, strides, strict=True)
    )


def _resize(feature, size):
    old = tuple(feature.shape[-2:])
    if old == size:
        return feature
    if size[0] <= old[0] and size[1] <= old[1]:
        return F.adaptive_avg_pool2d(feature, size)
    return F.interpolate(feature, size, mode='bilinear', align_corners=False)


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
        block.register_forward_pre_hook(_resize_skips, with_kwargs=True)


def _resize_skips(block, args, kwargs):
    size = kwargs['hidden_states'].shape[-2:]
    skips = tuple(
        skip if skip.shape[-2:] == size else F.interpolate(skip, size, mode='bilinear', align_corners=False)
        for skip in kwargs['res_hidden_states_tuple']
    )
    return args, {**kwargs, 'res_hidden_states_tuple': skips, 'upsample_size': None}
