"""SiLog loss that knows of depth maps without a single measurement."""

import torch
from mmengine.logging import MessageHub
from mmseg.models.losses import SiLogLoss
from mmseg.registry import MODELS

from mmdiffperc.validation import validated

COUNTER = 'train/maps_without_depth'  # the prefix brings it into the log of the training


@MODELS.register_module()
@validated
class MaskedSiLogLoss(SiLogLoss):
    """``SiLogLoss`` over the samples of a batch that have any depth.

    mmseg's loss takes a sample without depth for one that is predicted without an error, and becomes NaN by a single
    infinite pixel. Here the former counts for nothing, and depth that is not finite is no depth. How many samples
    had none so far, on the main process, stands in the log as ``maps_without_depth``.

    Args:
        pooled (bool): Take all pixels of the batch together, as the official code of VPD and MetaPrompts does, instead
            of averaging over samples, as mmseg does. Defaults to False.
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
            target (Tensor): True depth ``(B, 1, H, W)``; 0 where there is none.
            weight (Tensor, optional): Of each sample, ``(B,)``; not with ``pooled``.
            **kwargs: As ``SiLogLoss.forward`` takes them.

        Returns:
            Tensor: The loss; 0 if no sample has depth.
        """
        target = target.nan_to_num(nan=0, posinf=0, neginf=0)
        has_depth = (target > self.eps).flatten(1).any(dim=1)  # (B,)
        self._count(len(has_depth) - int(has_depth.sum()))
        if not has_depth.any():
            return 0 * pred.sum()  # a graph to all weights, as distributed training expects one
        if self.pooled:
            return super().forward(pred.reshape(1, -1), target.reshape(1, -1), **kwargs)
        return super().forward(
            pred[has_depth], target[has_depth], weight if weight is None else weight[has_depth], **kwargs
        )

    def _count(self, num_masked: int):
        self.num_masked += num_masked
        MessageHub.get_current_instance().update_scalar(COUNTER, self.num_masked)
