"""Add a finer level to a pyramid."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import nn

from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Initialisation, Widths, validated


@MODELS.register_module()
@validated
class FinerLevelNeck(BaseModule):
    """Add a level of half the finest stride to a pyramid, by a transposed convolution of the finest level.

    For heads that need stride 4. Put it before the neck of the head, as in ``neck=[dict(type='FinerLevelNeck', ...),
    dict(type='FPN', ...)]``. The level is computed as in `ViTDet <https://arxiv.org/abs/2203.16527>`_: a kernel of
    2 x 2, no overlap, half the channels.

    Args:
        in_channels (Sequence[int]): Channels of each feature: ``out_channels`` of the backbone.
        init_cfg (dict, optional): Initialisation, see mmengine.

    Attributes:
        out_channels (tuple[int]): Channels of each returned feature: half of ``in_channels[0]``, then ``in_channels``.

    Raises:
        ValueError: The finest feature has a single channel.
    """

    def __init__(self, in_channels: Widths, init_cfg: Initialisation | None = None):
        super().__init__(init_cfg)
        self.in_channels = tuple(in_channels)
        finest = self.in_channels[0]
        if finest < 2:
            raise ValueError(f'in_channels={self.in_channels}: expected 2 or more for the finest, to halve them')
        self.out_channels = (finest // 2, *self.in_channels)
        self.upsample = nn.ConvTranspose2d(finest, finest // 2, kernel_size=2, stride=2)

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Compute the finer level.

        Args:
            inputs (Sequence[Tensor]): Features ``(B, C_i, h_i, w_i)``, the finest first.

        Returns:
            tuple[Tensor]: A feature ``(B, C_0 // 2, 2 * h_0, 2 * w_0)``, followed by the unchanged inputs.
        """
        return (self.upsample(inputs[0]), *inputs)
