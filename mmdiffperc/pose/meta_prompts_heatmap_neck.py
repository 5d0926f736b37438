"""The neck of MetaPrompts for mmpose's heatmap head."""

from collections.abc import Sequence

import torch
from mmpose.models.necks import FeatureMapProcessor
from mmpose.registry import MODELS

from mmdiffperc.models.necks import MetaPromptsNeck
from mmdiffperc.validation import Width, Widths, validated


@MODELS.register_module()
@validated
class MetaPromptsHeatmapNeck(MetaPromptsNeck):
    """Features seen through the prompts, all levels side by side in one feature of the finest level's size.

    :class:`.MetaPromptsNeck` and then mmpose's ``FeatureMapProcessor(concat=True)``, in one class because a pose
    estimator takes one neck: mmpose 1.3.2 drops a list of necks without a word. ``HeatmapHead`` reads the last feature
    only, so there is only one. With Stable Diffusion and all levels its stride is 4, that of a customary heatmap.

    Args:
        in_channels (Sequence[int]): Channels of each feature, which is ``out_channels`` of the backbone.
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
            ValueError: The prompts are missing, or are others than expected.
        """
        return tuple(self.side_by_side(super().forward(inputs)))
