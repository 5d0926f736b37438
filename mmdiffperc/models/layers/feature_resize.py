"""Resize features to the strides that a neck or head expects."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F


def resize_features(
    features: Sequence[torch.Tensor], strides: Sequence[int], image_size: Sequence[int]
) -> tuple[torch.Tensor, ...]:
    """Resize features so that one cell covers as many pixels as given.

    Features that grow are interpolated bilinearly, and features that shrink are averaged over areas. A feature that
    already has the right size is returned unchanged.

    Args:
        features (Sequence[Tensor]): ``(B, C_i, h_i, w_i)`` each.
        strides (Sequence[int]): One for each feature.
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
