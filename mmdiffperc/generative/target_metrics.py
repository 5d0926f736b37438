"""Metrics of target maps: images such as albedo and shading, normals, and depth."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated

import cv2
import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from mmdiffperc.evaluation import depth, normals
from mmdiffperc.evaluation.images import errors, image_measures, mean_of_defined
from mmdiffperc.registry import METRICS
from mmdiffperc.validation import Expected, Listed, PositiveFloat, PositiveOrInfinite, validated

from .target_codec import stretch

Measures = Annotated[Listed[str], Expected('a list of names of measures')]
# Eight bits store mid-grey as 128 / 255, a normal of length 0.007.
NO_DIRECTION = 0.01
NORMALISED_DEPTH = ('l1', 'mse', 'rmse')


@validated
class TargetMetric(BaseMetric):
    """Base class: compare ``pred_target`` with ``gt_target`` in each image, and average over the images.

    This follows the official evaluation of `DMP <https://arxiv.org/abs/2311.18832>`_: every image has the same weight,
    and predictions are not aligned with the truth. An image whose measure is undefined is left out of its mean. A
    prediction that is not finite makes all means NaN.

    Args:
        measures (Sequence[str], optional): Some of the metric's ``MEASURES``. Default: all.
        normalise (bool): Stretch prediction and truth of each image separately from their minimum to their maximum;
            the official option ``--norm``. Defaults to False.
        resize_truth (bool): If prediction and truth differ in size, resize the truth to the prediction by averaging
            areas, as the official code does, instead of raising an error. Defaults to False.
        **kwargs: Arguments of mmengine's ``BaseMetric``.

    Raises:
        ValueError: When building: an unknown measure. When evaluating: prediction and truth differ in shape.
    """

    MEASURES: tuple[str, ...]

    def __init__(self, measures: Measures | None = None, normalise: bool = False, resize_truth: bool = False, **kwargs):
        super().__init__(**kwargs)
        self.measures = self.MEASURES if measures is None else tuple(measures)
        if unknown := [name for name in self.measures if name not in self.MEASURES]:
            raise ValueError(f'{type(self).__name__}: no measure {", ".join(unknown)}; expected {self.MEASURES}')
        self.normalise = normalise
        self.resize_truth = resize_truth

    @abstractmethod
    def measure(self, pred: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
        """Compute the measures of an image from maps ``(C, H, W)`` in double precision, on the device of the maps."""

    def process(self, data_batch: dict, data_samples: Sequence[dict]):
        """Measure the predictions of one batch, ``pred_target`` and ``gt_target`` with ``data`` ``(C, H, W)``."""
        for pred, truth in map(self._maps_of, data_samples):
            self.results.append(self.measure(pred, truth) if pred.isfinite().all() else None)

    def compute_metrics(self, results: list[dict[str, float] | None]) -> dict[str, float]:
        """Average the selected measures over the images."""
        if None in results:
            return dict.fromkeys(self.measures, np.nan)
        values = {name: np.array([result[name] for result in results]) for name in self.measures}
        return {name: mean_of_defined(value) for name, value in values.items()}

    def _maps_of(self, sample: dict) -> tuple[torch.Tensor, torch.Tensor]:
        pred, truth = (sample[key]['data'].double() for key in ('pred_target', 'gt_target'))
        if self.resize_truth and pred.shape[1:] != truth.shape[1:]:
            truth = _resize_by_area(truth, pred.shape[1:])
        if pred.shape != truth.shape:
            raise ValueError(
                f'{sample.get("img_path")}: the prediction is {tuple(pred.shape)}, the truth {tuple(truth.shape)} '
                '(channels, height, width). A prediction has the size of its image before Resize: load the truth after '
                'Resize'
            )
        return tuple(stretch(torch.stack([pred, truth]))) if self.normalise else (pred, truth)


@METRICS.register_module()
@validated
class ImageErrorMetric(TargetMetric):
    """Measures of images in [0, 1], such as albedo and shading: ``l1``, ``mse``, ``rmse``, ``psnr`` (dB) and ``ssim``.

    The arguments are those of :class:`.TargetMetric`. For the measures see :func:`.image_measures`.
    """

    MEASURES = ('l1', 'mse', 'rmse', 'psnr', 'ssim')

    def measure(self, pred: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
        """Compute the measures of images ``(C, H, W)``."""
        if {'psnr', 'ssim'} & set(self.measures):  # OpenCV computes SSIM on the CPU
            return image_measures(pred.cpu().numpy(), truth.cpu().numpy())
        return errors(pred, truth)


@METRICS.register_module()
@validated
class NormalMapMetric(TargetMetric):
    """Measures of normals ``n`` that are stored as colours ``(n + 1) / 2``.

    - ``l1``: mean absolute error of the colours.
    - ``mean`` and ``median``: of the angle between predicted and true normals, in degrees.
    - ``11.25``, ``22.5``, ``30``: share of pixels whose angle is below that many degrees.
    - ``angular``: the official error of DMP, the mean angle between the *colours* in radians. It is less than half as
      large as the angle between the normals.

    Normals need not have unit length. Pixels whose truth is NaN or has no direction do not count: mid-grey, also when
    it is rounded to eight bits.

    The arguments are those of :class:`.TargetMetric`.
    """

    MEASURES = ('l1', 'angular', *normals.MEASURES)

    def measure(self, pred: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
        """Compute all measures of colours ``(3, H, W)``."""
        counted = ((2 * truth - 1) ** 2).sum(0) > NO_DIRECTION**2  # False where it is NaN
        if not counted.any():
            return dict.fromkeys(self.MEASURES, np.nan)
        pred, truth = pred[:, counted], truth[:, counted]
        angular = math.radians(normals.angles_between(pred, truth).mean())
        return dict(
            l1=errors(pred, truth)['l1'], angular=angular, **normals.normal_measures(2 * pred - 1, 2 * truth - 1)
        )


@METRICS.register_module()
@validated
class DepthMapMetric(TargetMetric):
    """Measures of absolute or normalised depth.

    Absolute depth (the official option ``--abs``) has the measures of :func:`.depth_measures` besides ``l1`` and
    ``mse``. They cover the pixels whose true depth lies strictly between the limits, NaN excluded. Predictions are
    raised to the lower limit, since several measures take their logarithm. Normalised depth has only ``l1``, ``mse``
    and ``rmse``, over all pixels: ratios would divide by the nearest depth, which becomes 0.

    Args:
        measures (Sequence[str], optional): Default: all; with ``normalise``, these three.
        min_depth (float): In the unit of the depth. Defaults to 0.001.
        max_depth (float): In the unit of the depth. Defaults to infinity.
        normalise (bool): See :class:`.TargetMetric`. Defaults to False.
        **kwargs: Arguments of :class:`.TargetMetric`.

    Raises:
        ValueError: The lower limit is not below the upper one; a ratio of normalised depth; see
            :class:`.TargetMetric`.
    """

    MEASURES = ('l1', 'mse', *depth.MEASURES)

    def __init__(
        self,
        measures: Measures | None = None,
        min_depth: PositiveFloat = 1e-3,
        max_depth: PositiveOrInfinite = float('inf'),
        normalise: bool = False,
        **kwargs,
    ):
        if normalise and measures is None:
            measures = NORMALISED_DEPTH
        super().__init__(measures, normalise, **kwargs)
        if normalise and (ratios := set(self.measures) - set(NORMALISED_DEPTH)):
            raise ValueError(f'normalise=True supports {NORMALISED_DEPTH}, not {sorted(ratios)}')
        if not min_depth < max_depth:
            raise ValueError(f'Expected 0 < min_depth < max_depth, got {min_depth}, {max_depth}')
        self.min_depth = min_depth
        self.max_depth = max_depth

    def measure(self, pred: torch.Tensor, truth: torch.Tensor) -> dict[str, float]:
        """Compute all measures of depth ``(1, H, W)``."""
        if self.normalise:
            return errors(pred, truth)
        counted = depth.is_compared(truth, self.min_depth, self.max_depth)
        if not counted.any():
            return dict.fromkeys(self.MEASURES, np.nan)
        pred, truth = pred[counted].clip(self.min_depth), truth[counted]
        # Single precision decides as the official code whether a ratio is below 1.25, which 5/255 by 4/255 is not.
        return errors(pred, truth) | depth.depth_measures(pred.float(), truth.float())


def _resize_by_area(maps, size):
    height, width = size
    channels = [cv2.resize(each, (width, height), interpolation=cv2.INTER_AREA) for each in maps.cpu().numpy()]
    return torch.as_tensor(np.stack(channels), device=maps.device)
