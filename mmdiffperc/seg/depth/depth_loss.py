"""SiLog loss for batches with depth maps that have no measurement."""

import torch
from mmengine.logging import MessageHub
from mmseg.models.losses import SiLogLoss
from mmseg.registry import MODELS

from mmdiffperc.validation import validated

COUNTER = 'train/maps_without_depth'  # mmengine logs what has this prefix


@MODELS.register_module()
@validated
class MaskedSiLogLoss(SiLogLoss):
    """``SiLogLoss`` over the samples of a batch that have depth.

    mmseg's loss counts a sample without depth as a perfect prediction, and a single infinite pixel makes it NaN. Here
    samples without depth are ignored, and so is depth that is not finite. The log shows as ``maps_without_depth`` how
    many samples have had no depth so far on the main process.

    Args:
        pooled (bool): Compute the loss over all pixels of the batch, as the official code of VPD and MetaPrompts does,
            instead of averaging over samples, as mmseg does. Defaults to False.
        **kwargs: Arguments of mmseg's ``SiLogLoss``.
    """

    def __init__(self, pooled: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.pooled = pooled
        self.num_masked = 0

    def forward(self, pred: torch.Tensor, target: torch.Tensor, weight: torch.Tensor | None = None, **kwargs):
        """Compute the loss.

        Args:
            pred (Tensor): Depth ``(B, 1, H, W)`` in metres.
            target (Tensor): True depth ``(B, 1, H, W)``; 0 where it was not measured.
            weight (Tensor, optional): Weight of each sample, ``(B,)``; not supported with ``pooled``.
            **kwargs: Further arguments of ``SiLogLoss.forward``.

        Returns:
            Tensor: The loss; 0 if no sample has depth.
        """
        target = target.nan_to_num(nan=0, posinf=0, neginf=0)
        has_depth = (target > self.eps).flatten(1).any(dim=1)  # (B,)
        self._count(len(has_depth) - int(has_depth.sum()))
        if not has_depth.any():
            return 0 * pred.sum()  # distributed training expects a graph to all weights
        if self.pooled:
            return super().forward(pred.reshape(1, -1), target.reshape(1, -1), **kwargs)
        return super().forward(
            pred[has_depth], target[has_depth], weight if weight is None else weight[has_depth], **kwargs
        )

    def _count(self, num_masked: int):
        self.num_masked += num_masked
        MessageHub.get_current_instance().update_scalar(COUNTER, self.num_masked)
