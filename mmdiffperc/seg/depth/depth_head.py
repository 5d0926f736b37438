"""VPD's depth head for images of any size."""

from collections.abc import Sequence
from copy import copy

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads import VPDDepthHead
from mmseg.registry import MODELS

from mmdiffperc.validation import validated


@MODELS.register_module()
@validated
class AnySizeDepthHead(VPDDepthHead):
    """mmseg's ``VPDDepthHead``, with a border that is computed from the size of the image.

    The head joins features of strides 8 to 64 at stride 32, for which the image must be padded to a multiple of 64. The
    official code pads 480 pixels to 512 and 352 to 384, and removes the last row and column of the joined features,
    which lie outside the image. This class does so for every size: cells outside the image are removed, and the depth
    is cropped to the image.

    Args:
        **kwargs: Arguments of mmseg's ``VPDDepthHead`` except ``fmap_border``.

    Attributes:
        size_divisor (int): The sides of the padded image must be multiples of it.
    """

    size_divisor = 64
    stride = 32

    def fit_images(self, images: torch.Tensor) -> torch.Tensor:
        """Pad images ``(B, 3, H, W)`` with mid-grey at the bottom and the right."""
        height, width = images.shape[-2:]
        return F.pad(images, (0, -width % self.size_divisor, 0, -height % self.size_divisor))

    def forward(self, inputs: Sequence) -> torch.Tensor:
        """Predict depth.

        Args:
            inputs (Sequence): The four features of the padded image, finest first, and then the (height, width) of
                the image.

        Returns:
            Tensor: Depth in metres ``(B, 1, H, W)``.
        """
        *features, (height, width) = inputs
        head = copy(self)  # mmseg's forward reads the border from the head, which other threads may be using
        head.fmap_border = self._border((height, width))
        return super(AnySizeDepthHead, head).forward(features)[..., :height, :width]

    def _border(self, size: Sequence[int]) -> list[int]:
        """Return the rows and columns of the joined features that lie outside an image of a height and width."""
        return [-side % self.size_divisor // self.stride for side in size]

    def join(self, features: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """Join features at stride 32, as mmseg's head does, without the cells that lie outside the image.

        Args:
            features (Sequence[Tensor]): The four features of the padded image, finest first.
            size (Sequence[int]): Height and width of the image.

        Returns:
            Tensor: ``(B, feature_dim, h, w)``.
        """
        stride8, stride16, stride32, stride64 = features
        enlarged = F.interpolate(stride64, scale_factor=2)
        joined = torch.cat([self.conv1(stride8), self.conv2(stride16), stride32, enlarged], dim=1)
        bottom, right = self._border(size)
        joined = self.conv_aggregation(joined)
        return joined[..., : joined.shape[-2] - bottom, : joined.shape[-1] - right].contiguous()

    def extra_repr(self) -> str:
        """Describe the head; mmseg's version uses attributes that its depth head does not have."""
        return f'max_depth={self.max_depth}'
