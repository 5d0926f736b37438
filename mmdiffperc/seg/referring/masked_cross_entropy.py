"""Cross-entropy with class weights that leaves ignored pixels out."""

from typing import Annotated

import torch
from mmseg.models.losses import CrossEntropyLoss
from mmseg.registry import MODELS

from mmdiffperc.validation import Expected, Listed, NonNegativeFloat, Text, validated

ClassWeights = Annotated[Listed[NonNegativeFloat], Expected('a list of finite numbers of 0 or more')]


@MODELS.register_module()
@validated
class MaskedCrossEntropyLoss(CrossEntropyLoss):
    """``CrossEntropyLoss`` with class weights, averaged over the pixels that are not ignored, as in PyTorch.

    mmseg's version also looks up the weight of the ignored class 255, which padding produces, and fails. Without
    ignored pixels, the two losses are equal.

    Args:
        class_weight (list[float]): Weight of each class.
        loss_weight (float): Weight of the loss. Defaults to 1.
        loss_name (str): Name of the loss, which begins with ``loss_``. Defaults to 'loss_ce'.
    """

    def __init__(self, class_weight: ClassWeights, loss_weight: NonNegativeFloat = 1.0, loss_name: Text = 'loss_ce'):
        super().__init__(class_weight=class_weight, loss_weight=loss_weight, loss_name=loss_name, avg_non_ignore=True)
        self.register_buffer('weights', torch.tensor(class_weight, dtype=torch.float32), persistent=False)

    def forward(
        self,
        cls_score: torch.Tensor,
        label: torch.Tensor,
        weight: torch.Tensor | None = None,
        ignore_index: int = -100,
    ) -> torch.Tensor:
        """Compute the loss. The host does not wait for the GPU.

        Args:
            cls_score (Tensor): Logits ``(B, C, H, W)``.
            label (Tensor): Classes ``(B, H, W)``.
            weight (Tensor, optional): Weight of each pixel ``(B, H, W)``.
            ignore_index (int): The class of ignored pixels. Defaults to -100.

        Returns:
            Tensor: The loss; 0 if all pixels are ignored.
        """
        class_weight, counts = self.weights.to(cls_score), label != ignore_index
        total = class_weight[label.where(counts, 0)].where(counts, 0).sum()
        loss = self.cls_criterion(
            cls_score,
            label,
            weight,
            class_weight=class_weight,
            reduction=self.reduction,
            avg_factor=total,
            ignore_index=ignore_index,
        )
        return self.loss_weight * loss
