"""The decode head of LAVT and of VPD's referring segmentation."""

from collections.abc import Sequence

import torch
from mmcv.cnn import ConvModule
from mmseg.models.decode_heads.decode_head import BaseDecodeHead
from mmseg.models.utils import resize
from mmseg.registry import MODELS
from torch import nn

from mmdiffperc.validation import Fraction, Initialisation, Listed, PositiveInt, Width, Widths, validated

BATCH_NORM = dict(type='BN')


@MODELS.register_module()
@validated
class SimpleDecodingHead(BaseDecodeHead):
    """Fuse a pyramid from its coarsest level to its finest, then classify: LAVT's ``SimpleDecoding``.

    Each step enlarges the fused feature to the size of the next level, appends that level, and applies a 3 x 3
    convolution, batch normalisation and ReLU twice::

        y_4 = x_4,    y_i = f_i([up(y_{i+1}), x_i]),    logits = conv_1x1(y_1)

    From Yang et al., LAVT, CVPR 2022; VPD uses it on the features and cross-attention maps of Stable Diffusion.

    Args:
        in_channels (Sequence[int]): Channels of the levels, finest first.
        channels (int): Channels of every step, half of the coarsest level's in the papers. Defaults to 640.
        num_classes (int): Number of classes: background and object. Defaults to 2.
        in_index (Sequence[int], optional): Indices of the features that are the levels. Default: the first ones.
        dropout_ratio (float): Dropout before the classification. Defaults to 0.
        norm_cfg (dict): Normalisation. Defaults to batch normalisation; use SyncBN if a device has few images.
        align_corners (bool): How features and logits are enlarged. Defaults to True.
        init_cfg (dict | list[dict], optional): How the weights are initialised. Default: PyTorch's initialisation, as
            in the official code. mmcv's and mmseg's defaults differ from it.
        **kwargs: Arguments of mmseg's ``BaseDecodeHead``. The papers' loss is
            ``loss_decode=dict(type='MaskedCrossEntropyLoss', class_weight=[0.9, 1.1])``.
    """

    def __init__(
        self,
        in_channels: Widths,
        channels: Width = 640,
        *,
        num_classes: PositiveInt = 2,
        in_index: Listed[int] | None = None,
        dropout_ratio: Fraction = 0.0,
        norm_cfg: dict | None = BATCH_NORM,
        align_corners: bool = True,
        init_cfg: Initialisation | None = None,
        **kwargs,
    ):
        super().__init__(
            in_channels,
            channels,
            num_classes=num_classes,
            out_channels=num_classes,
            in_index=list(range(len(in_channels)) if in_index is None else in_index),
            input_transform='multiple_select',
            dropout_ratio=dropout_ratio,
            norm_cfg=norm_cfg,
            align_corners=align_corners,
            init_cfg=init_cfg,
            **kwargs,
        )
        *skip_channels, coarsest = in_channels
        widths = [coarsest, *[channels] * (len(skip_channels) - 1)]
        self.fusions = nn.ModuleList(
            nn.Sequential(self._conv(width + skip), self._conv(channels))
            for width, skip in zip(widths, reversed(skip_channels), strict=True)
        )

    def forward(self, inputs: Sequence[torch.Tensor]) -> torch.Tensor:
        """Fuse and classify.

        Args:
            inputs (Sequence[Tensor]): Features ``(B, C_i, H_i, W_i)``, finest first.

        Returns:
            Tensor: Logits ``(B, num_classes, H_1, W_1)``.
        """
        *skips, fused = self._transform_inputs(inputs)
        for fuse, skip in zip(self.fusions, reversed(skips), strict=True):
            fused = self._enlarge(fused, skip.shape[2:])
            fused = fuse(torch.cat([fused, skip], dim=1))
        return self.cls_seg(fused)

    def _enlarge(self, feature: torch.Tensor, size: torch.Size) -> torch.Tensor:
        # The backbone determines the sizes, so a warning about them would not help.
        return resize(feature, size, mode='bilinear', align_corners=self.align_corners, warning=False)

    def _conv(self, in_channels: int) -> ConvModule:
        block = ConvModule(
            in_channels,
            self.channels,
            3,
            padding=1,
            conv_cfg=self.conv_cfg,
            norm_cfg=self.norm_cfg,
            act_cfg=self.act_cfg,
        )
        block.conv.reset_parameters()  # ConvModule has drawn wider weights, by Kaiming's method
        return block
