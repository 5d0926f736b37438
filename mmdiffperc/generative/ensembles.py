"""Combine several predictions of an image."""

import torch
from diffusers import MarigoldDepthPipeline, MarigoldNormalsPipeline

from .target_codec import TargetCodec


def combine(members: torch.Tensor, codec: TargetCodec) -> torch.Tensor:
    """Combine several predictions of an image into one, as `Marigold <https://arxiv.org/abs/2312.02145>`_ does.

    Relative maps are aligned with each other, and their median is stretched to [0, 1]. Of normals, each pixel takes the
    prediction that is closest to the mean. Metric maps and colours are not aligned, and the median is taken.

    Args:
        members (Tensor): Target maps ``(E, C, H, W)``.
        codec (TargetCodec): The kind of target.

    Returns:
        Tensor: ``(C, H, W)``.
    """
    if len(members) == 1:
        return members[0]
    if codec.mode == 'normals':
        return MarigoldNormalsPipeline.ensemble_normals(members, output_uncertainty=False)[0][0]
    if codec.is_relative:
        return MarigoldDepthPipeline.ensemble_depth(members)[0][0]
    return members.median(dim=0).values
