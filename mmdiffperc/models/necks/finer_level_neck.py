"""A finer level in front of a pyramid."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import nn

from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Initialisation, Widths, validated


@MODELS.register_module()
@validated
class FinerLevelNeck(BaseModule):
    """Put a level of half the finest stride in front of a pyramid, by a transposed convolution of the finest level.

    For heads that want stride 4, before their own neck, such as ``neck=[dict(type='FinerLevelNeck', ...),
    dict(type='FPN', ...)]``. As `ViTDet <https://arxiv.org/abs/2203.16527>`_ makes its finer levels: a kernel of 2 x 2,
    no overlap, half the channels.

    Args:
        in_channels (Sequence[int]): Channels of each feature, which is ``out_channels`` of the backbone.
        init_cfg (dict, optional): Initialisation, see mmengine.

    Attributes:
        out_channels (tuple[int]): Channels of each returned feature: half of those of the finest, then ``in_channels``.

    Raises:
        ValueError: The finest feature has a single channel.
    """

    def __init__(self, in_channels: Widths, init_cfg: Initialisation | None = None):
        super().__init__(init_cfg)
        self.in_channels = tuple(in_channels)
        finest = self.in_channels[0]
        if finest < 2:
            raise ValueError(f'in_channels={self.in_channels}: expected 2 or more of the finest, to halve them')
        self.out_channels = (finest // 2, *self.in_channels)
        self.upsample = nn.ConvTranspose2d(finest, finest // 2, kernel_size=2, stride=2)

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Compute the finer level.

        Args:
            inputs (Sequence[Tensor]): Features ``(B, C_i, h_i, w_i)``, the finest first.

        Returns:
            tuple[Tensor]: A feature ``(B, C_0 // 2, 2 * h_0, 2 * w_0)``, then the inputs as they are.
        """
        return (self.upsample(inputs[0]), *inputs)
