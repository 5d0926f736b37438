"""Losses of predicted targets that ignore invalid pixels.

A loss says in ``space`` what it compares: ``'latents'``, of the prediction and of the encoded target; ``'images'``, the
decoded prediction and the image of the target; or ``'maps'``, see :meth:`.TargetCodec.to_maps`, of both. It says in
``channels`` how many channels its maps must have, if that matters.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

import torch
import torch.nn.functional as F
from annotated_types import Predicate
from torch import nn

from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Expected, NonNegativeFloat, PositiveInt, Text, validated

SMALLEST_VARIANCE = 1e-10  # of maps in [-1, 1]: below it, a map is constant
SMALLEST_DEVIATION = 1e-5
Alignment = Literal['least_squares', 'median']
LossName = Annotated[
    Text, Predicate(lambda name: 'loss' in name), Expected("a name that contains 'loss'; mmengine sums only those")
]


def pool_valid(valid: torch.Tensor, stride: int) -> torch.Tensor:
    """Return which latents are valid, boolean ``(B, 1, ceil(H / stride), ceil(W / stride))``: all of their pixels are.

    Args:
        valid (Tensor): Boolean ``(B, 1, H, W)``.
        stride (int): Pixels per latent. Pixels by which the autoencoder pads an image are valid.
    """
    return F.max_pool2d((~valid).float(), stride, ceil_mode=True) == 0


def skipped_images(valid: torch.Tensor) -> torch.Tensor:
    """Return how many images have no valid pixel or latent ``(B, 1, H, W)``, a number for the log."""
    return (~valid).flatten(1).all(1).sum().float()


def masked_mean(values: torch.Tensor, valid: torch.Tensor, dim: Sequence[int] | None = None) -> torch.Tensor:
    """Return the mean of the valid values, 0 if none are; exactly ``values.mean(dim)`` if all are.

    Args:
        values (Tensor): Such as ``(B, C, H, W)``.
        valid (Tensor): Boolean, such as ``(B, 1, H, W)``.
        dim (Sequence[int], optional): Dimensions to average. Default: all.
    """
    share = valid.float().mean(dim)
    return values.where(valid, 0).mean(dim) / share.where(share > 0, 1)


@validated
class TargetLoss(nn.Module):
    """Base class: compare predictions with targets at valid pixels.

    The mean is taken over all valid pixels of a batch, so an image without any contributes nothing. If a batch has
    none, the loss is 0.

    Args:
        loss_weight (float): Factor of the loss. Defaults to 1.
        loss_name (str, optional): Name in the log. Default: the one of the class.
    """

    space: ClassVar[Literal['latents', 'images', 'maps']]
    channels: int | None = None
    loss_name: str

    def __init__(self, loss_weight: NonNegativeFloat = 1.0, loss_name: LossName | None = None):
        super().__init__()
        self.loss_weight = loss_weight
        self.loss_name = loss_name or self.loss_name

    def forward(self, pred: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Compute the loss of a batch, a scalar.

        Args:
            pred (Tensor): ``(B, C, H, W)``.
            target (Tensor): ``(B, C, H, W)``.
            valid (Tensor): Boolean ``(B, 1, H, W)``. Other pixels affect neither the loss nor its gradient, whatever
                their values are.
        """
        pred, target = (each.float().where(valid, 0) for each in (pred, target))  # NaN * 0 would be NaN
        return self.loss_weight * self.compare(pred, target, valid)

    @abstractmethod
    def compare(self, pred: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Compute the loss in single precision; invalid pixels of ``pred`` and ``target`` are 0."""


@MODELS.register_module()
@validated
class LatentLoss(TargetLoss):
    """Mean squared error of latents, as in `Lotus <https://arxiv.org/abs/2409.18124>`_.

    A latent is valid if all of its pixels are, see :func:`.pool_valid`. The arguments are those of
    :class:`.TargetLoss`.
    """

    space = 'latents'
    loss_name = 'loss_latents'

    def compare(self, pred: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Compute the loss of latents ``(B, 4, h, w)``."""
        return masked_mean((pred - target) ** 2, valid)


@MODELS.register_module()
@validated
class ImageLoss(TargetLoss):
    """Mean absolute or squared error of images.

    Args:
        norm (str): ``'l1'`` or ``'l2'``. Defaults to ``'l1'``.
        loss_weight (float): Factor of the loss. Defaults to 1.
        loss_name (str, optional): Name in the log. Defaults to ``'loss_pixels'``.
    """

    space = 'images'
    loss_name = 'loss_pixels'

    def __init__(
        self,
        norm: Literal['l1', 'l2'] = 'l1',
        loss_weight: NonNegativeFloat = 1.0,
        loss_name: LossName | None = None,
    ):
        super().__init__(loss_weight, loss_name)
        self.error = dict(l1=F.l1_loss, l2=F.mse_loss)[norm]

    def compare(self, pred: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Compute the loss of images ``(B, 3, H, W)``."""
        return masked_mean(self.error(pred, target, reduction='none'), valid)


@MODELS.register_module()
@validated
class ScaleShiftInvariantLoss(TargetLoss):
    """Mean absolute error of depth after alignment, from `MiDaS <https://arxiv.org/abs/1907.01341>`_.

    - ``'least_squares'``: the scale and shift with the least squared error are applied to the prediction of each image,
      as in `E2E-FT <https://arxiv.org/abs/2409.11355>`_.
    - ``'median'``: from the prediction and from the target of each image, its median is subtracted, and the result is
      divided by its mean absolute value.

    Args:
        method (str): ``'least_squares'`` or ``'median'``. Defaults to ``'least_squares'``.
        loss_weight (float): Factor of the loss. Defaults to 1.
        loss_name (str, optional): Name in the log. Defaults to ``'loss_depth'``.
    """

    space = 'maps'
    channels = 1
    loss_name = 'loss_depth'

    def __init__(
        self,
        method: Alignment = 'least_squares',
        loss_weight: NonNegativeFloat = 1.0,
        loss_name: LossName | None = None,
    ):
        super().__init__(loss_weight, loss_name)
        self.method = method

    def compare(self, pred: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Compute the loss of maps ``(B, 1, H, W)``."""
        pred, target = align(pred, target, valid, self.method)
        return masked_mean((pred - target).abs(), valid)


@MODELS.register_module()
@validated
class GradientMatchingLoss(TargetLoss):
    """Mean absolute gradient of the error at several scales, which favours sharp edges at the right places.

    At each scale, the image gradients of ``pred - target`` are averaged over the pairs of neighbouring pixels that are
    both valid; the next scale keeps every second pixel. From `MegaDepth <https://arxiv.org/abs/1804.00607>`_ and `MiDaS
    <https://arxiv.org/abs/1907.01341>`_, which aligns the prediction with the target first.

    Args:
        num_scales (int): Number of scales. Defaults to 4.
        method (str, optional): Alignment of depth, see :class:`.ScaleShiftInvariantLoss`; None for normals and metric
            depth. Defaults to ``'least_squares'``.
        loss_weight (float): Factor of the loss. Defaults to 1.
        loss_name (str, optional): Name in the log. Defaults to ``'loss_gradients'``.
    """

    space = 'maps'
    loss_name = 'loss_gradients'

    def __init__(
        self,
        num_scales: PositiveInt = 4,
        method: Alignment | None = 'least_squares',
        loss_weight: NonNegativeFloat = 1.0,
        loss_name: LossName | None = None,
    ):
        super().__init__(loss_weight, loss_name)
        self.num_scales = num_scales
        self.method = method
        self.channels = 1 if method else None

    def compare(self, pred: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Compute the loss of maps ``(B, C, H, W)``."""
        if self.method:
            pred, target = align(pred, target, valid, self.method)
        error, loss = pred - target, 0 * pred.sum()  # 0 with a gradient, for maps of a single pixel
        for _ in range(self.num_scales):
            axes = [axis for axis in (2, 3) if error.shape[axis] > 1]
            loss = loss + sum(_mean_gradient(error, valid, axis) for axis in axes)
            error, valid = error[..., ::2, ::2], valid[..., ::2, ::2]
        return loss


@MODELS.register_module()
@validated
class AngularLoss(TargetLoss):
    """Mean angle between predicted and true normals in radians, as in `E2E-FT <https://arxiv.org/abs/2409.11355>`_.

    Pixels at which either has the length 0 do not count. The angle is computed from sine and cosine, since the gradient
    of the arccosine is infinite where normals agree. The arguments are those of :class:`.TargetLoss`.
    """

    space = 'maps'
    channels = 3
    loss_name = 'loss_normals'

    def compare(self, pred: torch.Tensor, target: torch.Tensor, valid: torch.Tensor) -> torch.Tensor:
        """Compute the loss of normals ``(B, 3, H, W)`` of any length."""
        valid = valid & (pred != 0).any(1, keepdim=True) & (target != 0).any(1, keepdim=True)
        pred, target = pred.where(valid, 1), target.where(valid, 1)
        sine = torch.linalg.vector_norm(torch.linalg.cross(pred, target, dim=1), dim=1, keepdim=True)
        cosine = (pred * target).sum(1, keepdim=True)
        return masked_mean(torch.atan2(sine, cosine), valid)


def align(
    pred: torch.Tensor, target: torch.Tensor, valid: torch.Tensor, method: Alignment
) -> tuple[torch.Tensor, torch.Tensor]:
    """Remove the unknown scale and shift of maps ``(B, 1, H, W)``, see :class:`.ScaleShiftInvariantLoss`.

    A constant prediction is aligned with the mean of the target.

    Returns:
        tuple[Tensor, Tensor]: Prediction and target to compare. Gradients pass through scale and shift.
    """
    if method == 'median':
        return _standardise(pred, valid), _standardise(target, valid)
    centred, mean = pred - _mean_of_maps(pred, valid), _mean_of_maps(target, valid)
    variance = _mean_of_maps(centred**2, valid)
    covariance = _mean_of_maps(centred * (target - mean), valid)
    is_constant = variance < SMALLEST_VARIANCE
    scale = (covariance / variance.where(~is_constant, 1)).where(~is_constant, 0)
    return scale * centred + mean, target


def _standardise(maps, valid):
    """Subtract the median of each map, and divide by the mean absolute deviation from it."""
    medians = maps.where(valid, torch.nan).flatten(1).nanmedian(1).values.reshape(-1, 1, 1, 1)
    centred = maps - medians.nan_to_num()
    return centred / _mean_of_maps(centred.abs(), valid).clamp(SMALLEST_DEVIATION)


def _mean_of_maps(maps, valid):
    """Return the mean of each map ``(B, 1, 1, 1)``."""
    return masked_mean(maps, valid, (1, 2, 3)).reshape(-1, 1, 1, 1)


def _mean_gradient(error, valid, axis):
    """Return the mean absolute difference of valid neighbours along an axis."""
    neighbours = valid.narrow(axis, 1, valid.shape[axis] - 1) & valid.narrow(axis, 0, valid.shape[axis] - 1)
    return masked_mean(error.diff(dim=axis).abs(), neighbours)
