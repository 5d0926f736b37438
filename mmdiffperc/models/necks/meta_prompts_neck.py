"""The neck of MetaPrompts: features re-weighted by the prompts."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmengine.model import BaseModule
from torch import nn

from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Initialisation, PositiveInt, Width, Widths, validated


@MODELS.register_module()
@validated
class MetaPromptsNeck(BaseModule):
    """Re-weight features by prompts: one map per prompt, the inner product of the prompt with every cell.

    Each level is upsampled to twice its size, mapped to the width of the prompts by
    ``relu(group_norm(conv3x3(feature)))``, and re-weighted by ``einsum('bchw,bkc->bkhw', feature, prompts)``. From
    `MetaPrompts <https://arxiv.org/abs/2312.14733>`_.

    Args:
        in_channels (Sequence[int]): Channels of each feature: ``out_channels`` of the backbone.
        num_prompts (int): Number ``K`` of the backbone's prompts.
        embed_dims (int): Width ``C`` of a prompt, 768 with SD 1.x. Defaults to 768.
        num_groups (int): Groups of the normalisation. Defaults to 16.
        init_cfg (dict, optional): Initialisation, see mmengine.

    Attributes:
        out_channels (tuple[int]): Channels of each returned feature, all ``num_prompts``.

    Raises:
        ValueError: ``embed_dims`` is not divisible by ``num_groups``.
    """

    def __init__(
        self,
        in_channels: Widths,
        num_prompts: Width,
        embed_dims: Width = 768,
        num_groups: PositiveInt = 16,
        init_cfg: Initialisation | None = None,
    ):
        super().__init__(init_cfg)
        check_groups('embed_dims', embed_dims, num_groups)
        self.in_channels = tuple(in_channels)
        self.num_prompts = num_prompts
        self.embed_dims = embed_dims
        self.out_channels = (num_prompts,) * len(self.in_channels)
        self.levels = nn.ModuleList(conv_norm_relu(channels, embed_dims, num_groups) for channels in self.in_channels)

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Compute the maps.

        Args:
            inputs (Sequence[Tensor]): One feature ``(B, C_i, h_i, w_i)`` per level and then the prompt embeddings
                ``(B, K, C)``, as :class:`DiffusionUNet` returns them with ``out_prompts=True``.

        Returns:
            tuple[Tensor]: One feature ``(B, K, 2 * h_i, 2 * w_i)`` per level.

        Raises:
            ValueError: The prompts are missing, or have an unexpected shape.
        """
        *features, prompts = inputs
        check_inputs(self, features, prompts)
        return tuple(
            torch.einsum('bchw,bkc->bkhw', level(F.interpolate(feature, scale_factor=2, mode='bilinear')), prompts)
            for level, feature in zip(self.levels, features, strict=True)
        )


def check_groups(argument: str, channels: int, num_groups: int):
    """Raise ``ValueError`` if the value of an argument, a number of channels, is not divisible by ``num_groups``."""
    if channels % num_groups:
        raise ValueError(
            f'{argument}={channels} cannot be split into num_groups={num_groups} groups of the same size: set '
            f'num_groups to a divisor of {argument}'
        )


def check_inputs(neck: BaseModule, features: Sequence[torch.Tensor], prompts: torch.Tensor):
    """Raise ``ValueError`` unless a neck of MetaPrompts gets the features and prompts that it was built for."""
    num_prompts, embed_dims = neck.num_prompts, neck.embed_dims
    if len(features) != len(neck.levels) or prompts.shape[1:] != (num_prompts, embed_dims):
        raise ValueError(
            f'{type(neck).__name__} expects {len(neck.levels)} features and then prompt embeddings (B, {num_prompts}, '
            f'{embed_dims}), got shapes {[tuple(x.shape) for x in (*features, prompts)]}. Set out_prompts=True in the '
            'backbone, and num_prompts and embed_dims to the values of its prompts'
        )


def conv_norm_relu(in_channels: int, out_channels: int, num_groups: int) -> nn.Sequential:
    """Build a 3x3 convolution with group norm and ReLU."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 3, padding=1), nn.GroupNorm(num_groups, out_channels), nn.ReLU()
    )
