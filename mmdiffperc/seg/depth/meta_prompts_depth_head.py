"""The depth head of MetaPrompts."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads import VPDDepthHead
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from mmdiffperc.models.layers.deconv_tower import DeconvTower
from mmdiffperc.validation import Component, Initialisation, NonNegativeInt, PositiveFloat, Width, Widths, validated

from .depth_loss import count_of_maps_without_depth

STRIDE = 8
DIVISOR = 64


@MODELS.register_module()
@validated
class MetaPromptsDepthHead(VPDDepthHead):
    """Predict depth from a feature of stride 8: three transposed convolutions, then ``sigmoid(...) * max_depth``.

    From the depth estimation of `MetaPrompts <https://arxiv.org/abs/2312.14733>`_. The image is enlarged to
    ``(H // 64 + extra_cells) * 64`` for the network; the feature is first resized to the latents of the original image.

    Args:
        in_channels (int): Channels of the feature, which is the number of prompts.
        max_depth (float): Largest depth in metres. Defaults to 10.
        extra_cells (int): Number of cells of 64 pixels by which an image is enlarged: 1 for NYU and 2 for KITTI in the
            official code. Defaults to 1.
        channels (int): Channels of the last layers. Defaults to 192.
        filters (Sequence[int]): Channels after each transposed convolution. Defaults to (32, 32, 32).
        align_corners (bool): How the depth is resized to the truth in the loss. Defaults to False.
        loss_decode (dict, optional): Config of the loss. Default: ``dict(type='MaskedSiLogLoss', pooled=True)``.
        init_cfg (dict, optional): Initialisation, see mmengine. Default: as in the official code.
    """

    def __init__(
        self,
        in_channels: Width,
        max_depth: PositiveFloat = 10.0,
        extra_cells: NonNegativeInt = 1,
        channels: Width = 192,
        filters: Widths = (32, 32, 32),
        align_corners: bool = False,
        loss_decode: Component | None = None,
        init_cfg: Initialisation | None = None,
    ):
        init_cfg = init_cfg or dict(type='Normal', std=0.001, layer=['Conv2d', 'ConvTranspose2d'])
        super(BaseDecodeHead, self).__init__(init_cfg)  # only the loss and the prediction of VPD's head are used
        self.in_channels = in_channels
        self.max_depth = max_depth
        self.extra_cells = extra_cells
        self.align_corners = align_corners
        self.decoder = DeconvTower(in_channels, channels, filters)
        self.depth_pred_layer = nn.Sequential(
            nn.Conv2d(channels, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, 1, 3, padding=1)
        )
        self.loss_decode = MODELS.build(loss_decode or dict(type='MaskedSiLogLoss', pooled=True))

    def fit_images(self, images: torch.Tensor) -> torch.Tensor:
        """Enlarge images ``(B, 3, H, W)`` to whole cells of 64 pixels."""
        size = [(side // DIVISOR + self.extra_cells) * DIVISOR for side in images.shape[-2:]]
        return resize(images, size)

    def forward(self, inputs: Sequence) -> torch.Tensor:
        """Predict depth.

        Args:
            inputs (Sequence): The feature of the enlarged image, and the (height, width) of the original image.

        Returns:
            Tensor: Depth in metres ``(B, 1, H, W)``.
        """
        feature, size = inputs
        feature = resize(feature, [max(1, side // STRIDE) for side in size])
        depth = self.depth_pred_layer(self.decoder(feature)).sigmoid() * self.max_depth
        return depth if depth.shape[-2:] == size else resize(depth, size)

    def loss_by_feat(self, pred_depth_map: torch.Tensor, batch_data_samples: Sequence[SegDataSample]) -> dict:
        """Compute the losses of depth ``(B, 1, H, W)``, and count the maps without depth for the log."""
        losses = super().loss_by_feat(pred_depth_map, batch_data_samples)
        return losses | count_of_maps_without_depth(self.loss_decode)

    def extra_repr(self) -> str:
        """Describe the head; mmseg's version uses attributes that its depth head does not have."""
        return f'max_depth={self.max_depth}, extra_cells={self.extra_cells}'


def resize(images: torch.Tensor, size: Sequence[int]) -> torch.Tensor:
    """Resize bilinearly."""
    return F.interpolate(images, tuple(size), mode='bilinear', align_corners=False)
