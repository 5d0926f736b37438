"""The MetaPrompts neck for mmpose's heatmap head."""

from collections.abc import Sequence

import torch
from mmpose.models.necks import FeatureMapProcessor
from mmpose.registry import MODELS

from mmdiffperc.models.necks import MetaPromptsNeck
from mmdiffperc.validation import Width, Widths, validated


@MODELS.register_module()
@validated
class MetaPromptsHeatmapNeck(MetaPromptsNeck):
    """Similarities of features and prompts, with all levels concatenated at the size of the finest one.

    It is :class:`.MetaPromptsNeck` followed by mmpose's ``FeatureMapProcessor(concat=True)``, in one class because
    mmpose 1.3.2 silently ignores a list of necks. It returns a single feature, because ``HeatmapHead`` only reads the
    last one. With Stable Diffusion and all levels, the stride is 4, as usual for heatmaps.

    Args:
        in_channels (Sequence[int]): Channels of each feature: ``out_channels`` of the backbone.
        num_prompts (int): Number ``K`` of the backbone's prompts.
        **kwargs: Further arguments of :class:`.MetaPromptsNeck`.

    Attributes:
        out_channels (tuple[int]): Channels of the returned feature, ``K`` for each level.
    """

    def __init__(self, in_channels: Widths, num_prompts: Width, **kwargs):
        super().__init__(in_channels, num_prompts, **kwargs)
        self.out_channels = (num_prompts * len(self.in_channels),)
        self.side_by_side = FeatureMapProcessor(concat=True)

    def forward(self, inputs: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Compute the feature.

        Args:
            inputs (Sequence[Tensor]): One feature ``(B, C_i, h_i, w_i)`` per level, the finest first, and then the
                prompt embeddings ``(B, K, C)``.

        Returns:
            tuple[Tensor]: One feature ``(B, K * levels, 2 * h_0, 2 * w_0)``.

        Raises:
            ValueError: The prompts are missing, or their number or width differs.
        """
        return tuple(self.side_by_side(super().forward(inputs)))
