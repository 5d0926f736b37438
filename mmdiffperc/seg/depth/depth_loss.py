"""SiLog loss for batches with depth maps that have no measurement."""

from typing import Annotated

import torch
from mmseg.models.losses import SiLogLoss
from mmseg.models.losses.utils import weight_reduce_loss
from mmseg.registry import MODELS
from pydantic import Field
from torch import nn

from mmdiffperc.validation import Expected, validated

COUNTER = 'maps_without_depth'
Focus = Annotated[float, Field(ge=0, lt=1), Expected('a number from 0 to less than 1')]


@MODELS.register_module()
@validated
class MaskedSiLogLoss(SiLogLoss):
    """``SiLogLoss`` over the samples of a batch that have depth.

    mmseg's loss counts a sample without depth as a perfect prediction, and a single infinite pixel makes it NaN. Here
    samples without depth are ignored, and so is depth that is not finite. The heads of this package report with their
    losses how many samples have had no depth so far, see ``count_of_maps_without_depth``.

    Args:
        variance_focus (float): Weight ``v`` of the squared mean in ``sqrt(mean(d**2) - v * mean(d)**2)``, where ``d``
            is the difference of the logarithms: 0 counts an error of the scale in full, and 1 would ignore it. VPD and
            mmseg have 0.5; `ECoDepth <https://arxiv.org/abs/2403.18807>`_ has 0.85, with ``loss_weight=10``. Defaults
            to 0.5.
        pooled (bool): Compute the loss over all pixels of the batch, as the official code of VPD and MetaPrompts does,
            instead of averaging over samples, as mmseg does. Defaults to False.
        **kwargs: Arguments of mmseg's ``SiLogLoss``.
    """

    def __init__(self, variance_focus: Focus = 0.5, pooled: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.variance_focus = variance_focus
        self.pooled = pooled
        self.register_buffer('num_masked', torch.zeros(()), persistent=False)

    def forward(
        self,
        pred: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None = None,
        avg_factor: float | None = None,
        reduction_override: str | None = None,
    ) -> torch.Tensor:
        """Compute the loss. The host does not wait for the GPU.

        Args:
            pred (Tensor): Depth ``(B, 1, H, W)`` in metres.
            target (Tensor): True depth ``(B, 1, H, W)``; 0 where it was not measured.
            weight (Tensor, optional): Weight of each sample, ``(B,)``; not supported with ``pooled``.
            avg_factor (float, optional): Divisor of the mean. Default: the number of samples with depth.
            reduction_override (str, optional): ``'none'``, ``'mean'`` or ``'sum'`` in place of the ``reduction`` of
                ``SiLogLoss``.

        Returns:
            Tensor: The loss; 0 if no sample has depth. Without a reduction, the loss of each sample ``(B,)``.
        """
        target = target.nan_to_num(nan=0, posinf=0, neginf=0).flatten(1)
        pred, has_depth = pred.flatten(1), (target > self.eps).any(dim=1)  # (B, H * W), (B,)
        self.num_masked += (~has_depth).sum()
        if self.pooled:
            pred, target, has_depth, weight = pred.reshape(1, -1), target.reshape(1, -1), has_depth.any()[None], None
        # Constants in place of samples without depth, and unequal ones: the gradient of the root at 0 is infinite.
        pred, target = pred.where(has_depth[:, None], 1), target.where(has_depth[:, None], 2)
        losses = weight_reduce_loss(self._silog(pred, target), weight, 'none') * self.loss_weight
        losses = losses.where(has_depth, 0)
        reduction = reduction_override or self.reduction
        if reduction == 'mean' and avg_factor is None:
            return losses.sum() / has_depth.sum().clamp(min=1)
        return weight_reduce_loss(losses, None, reduction, avg_factor)

    def _silog(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compute the loss of each row of ``(B, N)`` over its pixels with depth."""
        difference = target.clamp(min=self.eps).log() - pred.clamp(min=self.eps).log()
        is_valid = (target > self.eps) & ~difference.isnan()
        difference = torch.where(is_valid, difference, 0)
        count = is_valid.sum(dim=1).clamp(min=1)
        mean, mean_square = difference.sum(dim=1) / count, difference.square().sum(dim=1) / count
        return (mean_square - self.variance_focus * mean.square()).sqrt()


def count_of_maps_without_depth(losses: nn.Module) -> dict[str, torch.Tensor]:
    """Return the number of samples that have had no depth so far, as an entry of a head's losses for the log.

    Args:
        losses (nn.Module): The losses of the head; without a :class:`MaskedSiLogLoss`, the result is empty.
    """
    counts = [loss.num_masked.clone() for loss in losses.modules() if isinstance(loss, MaskedSiLogLoss)]
    return {COUNTER: counts[0]} if counts else {}
