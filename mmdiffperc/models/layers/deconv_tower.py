"""A tower of transposed convolutions."""

from collections.abc import Sequence

import torch
from torch import nn


class DeconvTower(nn.Module):
    """Transposed convolutions that each double the size, and a 3x3 convolution, all with batch norm and ReLU.

    Args:
        in_channels (int): Channels of the feature.
        out_channels (int): Channels of the output.
        filters (Sequence[int]): Channels after each transposed convolution.
        kernel_size (int): Kernel of the transposed convolutions, 2 or 4. Defaults to 2.
    """

    def __init__(self, in_channels: int, out_channels: int, filters: Sequence[int], kernel_size: int = 2):
        super().__init__()
        padding = (kernel_size - 2) // 2
        deconv_layers = []
        for before, after in zip((in_channels, *filters), filters, strict=False):
            deconv_layers += [
                nn.ConvTranspose2d(before, after, kernel_size, stride=2, padding=padding, bias=False),
                nn.BatchNorm2d(after),
                nn.ReLU(inplace=True),
            ]
        self.deconv_layers = nn.Sequential(*deconv_layers)
        self.conv_layers = nn.Sequential(
            nn.Conv2d(filters[-1], out_channels, 3, padding=1), nn.BatchNorm2d(out_channels), nn.ReLU(inplace=True)
        )

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Map ``(B, in_channels, h, w)`` to ``(B, out_channels, 2^n h, 2^n w)`` with n transposed convolutions."""
        return self.conv_layers(self.deconv_layers(feature))
