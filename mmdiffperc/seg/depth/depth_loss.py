"""SiLog loss for batches with depth maps that have no measurement."""

import torch
from mmengine.logging import MessageHub
from mmseg.models.losses import SiLogLoss
from mmseg.models.losses.utils import weight_reduce_loss
from mmseg.registry import MODELS

from mmdiffperc.validation import Fraction, validated

COUNTER = 'train/maps_without_depth'  # mmengine logs what has this prefix


@MODELS.register_module()
@validated
class MaskedSiLogLoss(SiLogLoss):
    """``SiLogLoss`` over the samples of a batch that have depth.

    mmseg's loss counts a sample without depth as a perfect prediction, and a single infinite pixel makes it NaN. Here
    samples without depth are ignored, and so is depth that is not finite. The log shows as ``maps_without_depth`` how
    many samples have had no depth so far on the main process.

    Args:
        variance_focus (float): Weight ``v`` of the squared mean in ``sqrt(mean(d**2) - v * mean(d)**2)``, where ``d``
            is the difference of the logarithms: 0 counts an error of the scale in full, and 1 ignores it. VPD and mmseg
            have 0.5; `ECoDepth <https://arxiv.org/abs/2403.18807>`_ has 0.85, with ``loss_weight=10``. Defaults to 0.5.
        pooled (bool): Compute the loss over all pixels of the batch, as the official code of VPD and MetaPrompts does,
            instead of averaging over samples, as mmseg does. Defaults to False.
        **kwargs: Arguments of mmseg's ``SiLogLoss``.
    """

    def __init__(self, variance_focus: Fraction = 0.5, pooled: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.variance_focus = variance_focus
        self.pooled = pooled
        self.num_masked = 0

    def forward(
        self,
        pred: torch.Tensor,
        target: torch.Tensor,
        weight: torch.Tensor | None = None,
        avg_factor: int | None = None,
        reduction_override: str | None = None,
    ) -> torch.Tensor:
        """Compute the loss.

        Args:
            pred (Tensor): Depth ``(B, 1, H, W)`` in metres.
            target (Tensor): True depth ``(B, 1, H, W)``; 0 where it was not measured.
            weight (Tensor, optional): Weight of each sample, ``(B,)``; not used with ``pooled``.
            avg_factor (int, optional): Divisor of the sum over the samples. Default: their number.
            reduction_override (str, optional): Replaces ``reduction``.

        Returns:
            Tensor: The loss; 0 if no sample has depth.
        """
        target = target.nan_to_num(nan=0, posinf=0, neginf=0)
        has_depth = (target > self.eps).flatten(1).any(dim=1)  # (B,)
        self._count(len(has_depth) - int(has_depth.sum()))
        if not has_depth.any():
            return 0 * pred.sum()  # distributed training expects a graph to all weights
        if self.pooled:
            weight, losses = None, self._silog(pred.reshape(1, -1), target.reshape(1, -1))
        else:
            weight = weight if weight is None else weight[has_depth]
            losses = self._silog(pred[has_depth].flatten(1), target[has_depth].flatten(1))
        return self.loss_weight * weight_reduce_loss(losses, weight, reduction_override or self.reduction, avg_factor)

    def _silog(self, pred: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        """Compute the loss of each row of ``(B, N)`` over its pixels with depth."""
        difference = target.clamp(min=self.eps).log() - pred.clamp(min=self.eps).log()
        is_valid = (target > self.eps) & ~difference.isnan()
        difference = torch.where(is_valid, difference, 0)
        count = is_valid.sum(dim=1).clamp(min=1)
        mean, mean_square = difference.sum(dim=1) / count, difference.square().sum(dim=1) / count
        return (mean_square - self.variance_focus * mean.square()).sqrt()

    def _count(self, num_masked: int):
        self.num_masked += num_masked
        MessageHub.get_current_instance().update_scalar(COUNTER, self.num_masked)
