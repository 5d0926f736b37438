"""The neck of EVP: levels that pass their details on to the coarser ones, weighted by attention."""

from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import nn

from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Initialisation, PositiveInt, Widths, validated

from .meta_prompts_neck import check_groups


@MODELS.register_module()
@validated
class AttentiveRefinementNeck(BaseModule):
    """Refine a pyramid from its finest level to its coarsest, with spatial and channel attention.

    With spatial attention ``SA``, channel attention ``CA`` and group normalisation ``GN``::

        F_0 = relu(GN(conv3x3(SA(f_0))))
        D(x) = relu(GN(conv3x3_stride2(relu(GN(conv3x3(CA(SA(x))))))))        half the channels, half the size
        F_i = relu(GN(conv1x1([D(F_{i-1}), f_i])))

    Both ``GN`` of one ``D`` share their weights. This is the Inverse Multi-Attentive Feature Refinement of `EVP
    <https://arxiv.org/abs/2312.08548>`_, as in its code, which leaves out the way back from coarse to fine.

    Args:
        in_channels (Sequence[int]): Channels of each feature, finest first. Each feature is half the size of the
            previous one.
        num_groups (int): Groups of all normalisations. Defaults to 20.
        reduction (int): The hidden layer of the channel attention is narrower by this factor. Defaults to 8.
        init_cfg (dict, optional): Initialisation, see mmengine. EVP uses PyTorch's for referring segmentation, which is
            the default, and ``dict(type='TruncNormal', std=0.02, layer='Conv2d')`` for depth.

    Attributes:
        out_channels (tuple[int]): Channels of each returned feature, those of ``in_channels``.

    Raises:
        ValueError: The channels of a level, or half of them unless it is the last one, are not divisible by
            ``num_groups``.
    """

    def __init__(
        self,
        in_channels: Widths,
        num_groups: PositiveInt = 20,
        reduction: PositiveInt = 8,
        init_cfg: Initialisation | None = None,
    ):
        super().__init__(init_cfg)
        self.in_channels = self.out_channels = tuple(in_channels)
        for index, channels in enumerate(self.in_channels):
            check_groups(f'in_channels[{index}]', channels, num_groups)
        for index, channels in enumerate(self.in_channels[:-1]):
            check_groups(f'in_channels[{index}] // 2', channels // 2, num_groups)
        finest, *coarser = self.in_channels
        self.first = AttentiveConv(finest, num_groups)
        self.downs = nn.ModuleList(
            AttentiveReduction(channels, num_groups, reduction) for channels in self.in_channels[:-1]
        )
        self.joins = nn.ModuleList(
            nn.Sequential(nn.Conv2d(finer // 2 + own, own, 1), nn.GroupNorm(num_groups, own), nn.ReLU())
            for finer, own in zip(self.in_channels, coarser, strict=False)
        )

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Refine the features.

        Args:
            inputs (Sequence[Tensor]): One feature ``(B, C_i, h_i, w_i)`` per level, the finest first.

        Returns:
            tuple[Tensor]: One feature ``(B, C_i, h_i, w_i)`` per level.

        Raises:
            ValueError: The number of features differs, or one is not half the size of the previous one.
        """
        self._check(inputs)
        refined = [self.first(inputs[0])]
        for down, join, feature in zip(self.downs, self.joins, inputs[1:], strict=True):
            refined.append(join(torch.cat([down(refined[-1]), feature], dim=1)))
        return tuple(refined)

    def _check(self, inputs):
        sizes = [tuple(feature.shape[-2:]) for feature in inputs]
        halved = [tuple(-(-side // 2) for side in size) for size in sizes[:-1]]
        if len(inputs) != len(self.in_channels) or sizes[1:] != halved:
            raise ValueError(
                f'{type(self).__name__} expects {len(self.in_channels)} features, each half the size of the previous '
                f'one, got sizes {sizes}: check out_indices and out_strides of the backbone'
            )


class SpatialAttention(nn.Sequential):
    """Weight each cell: ``x * sigmoid(conv1x1(x))``.

    Args:
        channels (int): Channels of the feature.
    """

    def __init__(self, channels: int):
        super().__init__(nn.Conv2d(channels, 1, 1), nn.Sigmoid())

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Weight a feature ``(B, C, h, w)``."""
        return feature * super().forward(feature)


class ChannelAttention(nn.Sequential):
    """Weight each channel by the mean of all cells and a bottleneck: squeeze and excitation.

    Args:
        channels (int): Channels of the feature.
        reduction (int): Channels per channel of the bottleneck.
    """

    def __init__(self, channels: int, reduction: int):
        hidden = max(1, channels // reduction)
        super().__init__(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Weight a feature ``(B, C, h, w)``."""
        return feature * super().forward(feature)


class AttentiveConv(nn.Module):
    """Spatial attention, a 3x3 convolution, group normalisation and ReLU.

    Args:
        channels (int): Channels of the feature.
        num_groups (int): Groups of the normalisation.
    """

    def __init__(self, channels: int, num_groups: int):
        super().__init__()
        self.spatial_attention = SpatialAttention(channels)
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1)
        self.group_norm = nn.GroupNorm(num_groups, channels)

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Map ``(B, C, h, w)`` to the same shape."""
        return self.group_norm(self.conv1(self.spatial_attention(feature))).relu()


class AttentiveReduction(nn.Module):
    """Spatial and channel attention, then two 3x3 convolutions that halve channels and size, normalised alike.

    Args:
        channels (int): Channels of the feature.
        num_groups (int): Groups of the normalisation.
        reduction (int): Channels per channel of the channel attention's bottleneck.
    """

    def __init__(self, channels: int, num_groups: int, reduction: int):
        super().__init__()
        self.spatial_attention = SpatialAttention(channels)
        self.channel_attention = ChannelAttention(channels, reduction)
        self.conv1 = nn.Conv2d(channels, channels // 2, 3, padding=1)
        self.conv2 = nn.Conv2d(channels // 2, channels // 2, 3, stride=2, padding=1)
        self.group_norm = nn.GroupNorm(num_groups, channels // 2)

    def forward(self, feature: torch.Tensor) -> torch.Tensor:
        """Map ``(B, C, h, w)`` to ``(B, C // 2, ceil(h / 2), ceil(w / 2))``."""
        feature = self.channel_attention(self.spatial_attention(feature))
        feature = self.group_norm(self.conv1(feature)).relu()
        return self.group_norm(self.conv2(feature)).relu()
