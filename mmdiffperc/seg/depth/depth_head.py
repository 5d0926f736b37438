"""VPD's depth head for images of any size."""

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from mmseg.models.decode_heads import VPDDepthHead
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample

from mmdiffperc.validation import validated

from .depth_loss import count_of_maps_without_depth


@MODELS.register_module()
@validated
class AnySizeDepthHead(VPDDepthHead):
    """mmseg's ``VPDDepthHead``, with a border that is computed from the size of the image.

    The head joins features of strides 8 to 64 at stride 32, for which the image must be padded to a multiple of 64. The
    official code pads 480 pixels to 512 and 352 to 384, and removes the last row and column of the joined features,
    which lie outside the image. This class does so for every size: cells outside the image are removed, and the depth
    is cropped to the image. `ECoDepth <https://arxiv.org/abs/2403.18807>`_, which has the same head, removes no cells.

    Args:
        padding (str): ``'grey'``, or ``'black'``, as in ECoDepth's first version. Defaults to ``'grey'``.
        cut (str): What is outside the image is removed from the ``'joined'`` features, as in VPD; from the
            ``'decoded'`` features, before the last two convolutions, as in ECoDepth's second version; or only from the
            ``'depth'``, as in its first version. Defaults to ``'joined'``.
        **kwargs: Arguments of mmseg's ``VPDDepthHead`` except ``fmap_border``.

    Attributes:
        size_divisor (int): The sides of the padded image must be multiples of it.
    """

    size_divisor = 64
    stride = 32

    def __init__(
        self,
        padding: Literal['grey', 'black'] = 'grey',
        cut: Literal['joined', 'decoded', 'depth'] = 'joined',
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.padding = padding
        self.cut = cut

    def fit_images(self, images: torch.Tensor) -> torch.Tensor:
        """Pad images ``(B, 3, H, W)`` at the bottom and the right."""
        height, width = images.shape[-2:]
        value = 0 if self.padding == 'grey' else -1
        return F.pad(images, (0, -width % self.size_divisor, 0, -height % self.size_divisor), value=value)

    def join(self, features: Sequence[torch.Tensor]) -> torch.Tensor:
        """Join features of strides 8 to 64, finest first, at stride 32 ``(B, F, H/32, W/32)``, as mmseg's head does."""
        finest, fine, coarse, coarsest = features
        coarse = torch.cat([coarse, F.interpolate(coarsest, scale_factor=2)], dim=1)
        return self.conv_aggregation(torch.cat([self.conv1(finest), self.conv2(fine), coarse], dim=1))

    def join_inside(self, features: Sequence[torch.Tensor], size: Sequence[int]) -> torch.Tensor:
        """Join features as :meth:`join` does; with ``cut='joined'``, only the cells inside an image of a size."""
        joined = self.join(features)
        if self.cut != 'joined':
            return joined
        rows, columns = (-side % self.size_divisor // self.stride for side in size)
        return joined[..., : joined.shape[-2] - rows, : joined.shape[-1] - columns].contiguous()

    def forward(self, inputs: Sequence) -> torch.Tensor:
        """Predict depth.

        Args:
            inputs (Sequence): The four features of the padded image, finest first, and then the (height, width) of
                the image.

        Returns:
            Tensor: Depth in metres ``(B, 1, H, W)``.
        """
        *features, (height, width) = inputs
        joined = self.join_inside(features, (height, width))
        decoded = self.decoder(joined)  # (B, E, H, W), with the padding that is left
        if self.cut == 'decoded':
            decoded = decoded[..., :height, :width]
        return (self.depth_pred_layer(decoded).sigmoid() * self.max_depth)[..., :height, :width]

    def loss_by_feat(self, pred_depth_map: torch.Tensor, batch_data_samples: Sequence[SegDataSample]) -> dict:
        """Compute the losses of depth ``(B, 1, H, W)``, and count the maps without depth for the log."""
        losses = super().loss_by_feat(pred_depth_map, batch_data_samples)
        return losses | count_of_maps_without_depth(self.loss_decode)

    def extra_repr(self) -> str:
        """Describe the head; mmseg's version uses attributes that its depth head does not have."""
        return f'max_depth={self.max_depth}'
