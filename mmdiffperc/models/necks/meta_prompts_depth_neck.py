"""The neck of MetaPrompts for depth: one feature, re-weighted by the prompts."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import nn

from mmdiffperc.models.layers.deconv_tower import DeconvTower
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Initialisation, PositiveInt, Width, Widths, validated

from .meta_prompts_neck import check_groups, check_inputs, conv_norm_relu

INIT = dict(type='TruncNormal', std=0.02, layer='Conv2d')


@MODELS.register_module()
@validated
class MetaPromptsDepthNeck(BaseModule):
    """Join all levels at the size of the finest, and re-weight the result by prompts: one map per prompt.

    A tower of transposed convolutions enlarges each coarser level. The result is
    ``einsum('bchw,bkc->bkhw', relu(group_norm(conv3x3(joined))), prompts)``. From the depth estimation of
    `MetaPrompts <https://arxiv.org/abs/2312.14733>`_.

    Args:
        in_channels (Sequence[int]): Channels of each feature, finest first. Each feature is half the size of the
            previous one.
        num_prompts (int): Number ``K`` of the backbone's prompts.
        embed_dims (int): Width ``C`` of a prompt, 768 with SD 1.x. Defaults to 768.
        tower_channels (int): Channels inside the towers. Defaults to 32.
        num_groups (int): Groups of the normalisation. Defaults to 16.
        init_cfg (dict, optional): Initialisation, see mmengine. Defaults to the initialisation of the official code.

    Attributes:
        out_channels (tuple[int]): Channels of the returned feature, ``num_prompts``.

    Raises:
        ValueError: ``embed_dims``, or the number of channels of the finest feature, is not divisible by ``num_groups``.
    """

    def __init__(
        self,
        in_channels: Widths,
        num_prompts: Width,
        embed_dims: Width = 768,
        tower_channels: Width = 32,
        num_groups: PositiveInt = 16,
        init_cfg: Initialisation | None = INIT,
    ):
        super().__init__(init_cfg)
        self.in_channels = tuple(in_channels)
        self.num_prompts = num_prompts
        self.embed_dims = embed_dims
        self.out_channels = (num_prompts,)
        finest, *coarser = self.in_channels
        check_groups('embed_dims', embed_dims, num_groups)
        check_groups('in_channels[0]', finest, num_groups)
        towers = [DeconvTower(c, c, [tower_channels] * n, kernel_size=4) for n, c in enumerate(coarser, 1)]
        self.levels = nn.ModuleList([conv_norm_relu(finest, finest, num_groups), *towers])
        self.join = conv_norm_relu(sum(self.in_channels), embed_dims, num_groups)

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor]:
        """Compute the maps.

        Args:
            inputs (Sequence[Tensor]): One feature ``(B, C_i, h_i, w_i)`` per level and then the prompt embeddings
                ``(B, K, C)``, as :class:`DiffusionUNet` returns them with ``out_prompts=True``.

        Returns:
            tuple[Tensor]: One feature ``(B, K, h_0, w_0)``.

        Raises:
            ValueError: The prompts are missing, or have an unexpected shape.
        """
        *features, prompts = inputs
        check_inputs(self, features, prompts)
        joined = torch.cat([level(x) for level, x in zip(self.levels, features, strict=True)], dim=1)
        return (torch.einsum('bchw,bkc->bkhw', self.join(joined), prompts),)
