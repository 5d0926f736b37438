"""The parts of top-down pose estimators that can be exported."""

from collections.abc import Callable

import torch
from mmpose.models import TopdownPoseEstimator
from mmpose.models.heads import HeatmapHead
from torch import nn

from mmdiffperc.export.part import Part
from mmdiffperc.export.parts import backbone_inputs, backbone_sizes


def pose_parts(model: TopdownPoseEstimator) -> dict[str, Callable[[nn.Module], Part]]:
    """Return the functions that make the parts of a pose estimator, besides its backbone."""
    return dict(model=whole_part) if isinstance(model.head, HeatmapHead) else {}


def whole_part(model: TopdownPoseEstimator) -> Part:
    """Return the whole model: the image of a person in, heatmaps out.

    Raises:
        ValueError: See :func:`.backbone_inputs`.
    """
    codec = model.head.decoder
    width, height = codec.input_size if codec else (None, None)
    meaning = f'heatmaps of {model.head.out_channels} keypoints (B, {model.head.out_channels}, h, w)'
    return Part(
        Heatmaps(model),
        backbone_inputs(model.backbone),
        dict(heatmaps=meaning),
        size=(height, width) if codec else None,
        metadata=dict(decoder=type(codec).__name__, test='one forward pass, without flip_test'),
        **backbone_sizes(model.backbone),
    )


class Heatmaps(nn.Module):
    """A pose estimator up to its heatmaps.

    Args:
        model (TopdownPoseEstimator): The model.
    """

    def __init__(self, model: TopdownPoseEstimator):
        super().__init__()
        self.model = model

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        """Compute the heatmaps ``(B, K, h, w)`` of images ``(B, 3, H, W)``."""
        return self.model.head(self.model.extract_feat(image))
