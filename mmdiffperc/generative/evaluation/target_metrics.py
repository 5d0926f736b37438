"""Metrics of target maps: images such as albedo and shading, normals, and depth."""

import logging
import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated, Literal

import cv2
import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import print_log

from mmdiffperc.evaluation import depth, normals
from mmdiffperc.evaluation.alignment import ALIGNMENTS, AlignmentError, fit_depth
from mmdiffperc.evaluation.arrays import to_numpy
from mmdiffperc.evaluation.image_results import ImageResult, TablePath, counted, write_table
from mmdiffperc.evaluation.images import errors, image_measures, mean_of_defined
from mmdiffperc.files import quoted
from mmdiffperc.generative.target_codec import stretch
from mmdiffperc.registry import METRICS
from mmdiffperc.validation import Expected, Listed, PositiveFloat, PositiveInt, PositiveOrInfinite, validated

Measures = Annotated[Listed[str], Expected('a list of names of measures')]
# Eight bits store mid-grey as 128 / 255, a normal of length 0.007.
NO_DIRECTION = 0.01
NORMALISED_DEPTH = ('l1', 'mse', 'rmse')
ANGLES = 'angles'  # what NormalMapMetric keeps of an image for the measures of all pixels


@validated
class TargetMetric(BaseMetric):
    """Base class: compare ``pred_target`` with ``gt_target`` in each image, and average over the images.

    This follows the official evaluation of `DMP <https://arxiv.org/abs/2311.18832>`_: every image has the same weight,
    and predictions are not aligned with the truth. Pixels whose truth is not finite, or which are false in
    ``gt_valid``, do not count. An image without a pixel that counts is left out, with a warning at the end; an image
    whose measure is undefined is left out of the mean of this measure. A prediction that is not finite makes all means
    NaN, and a warning names its image.

    Args:
        measures (Sequence[str], optional): Some of the metric's ``MEASURES``. Default: all.
        normalise (bool): Stretch prediction and truth of each image separately from their minimum to their maximum;
            the official option ``--norm``. Defaults to False.
        resize_truth (bool): If prediction and truth differ in size, resize the truth to the prediction by averaging
            areas, as the official code does, instead of raising an error. Defaults to False.
        per_image_file (str, optional): File for a table with the measures of each image, which ends in ``.csv`` or
            ``.json``, see :func:`.write_table`. Default: none.
        **kwargs: Arguments of mmengine's ``BaseMetric``.

    Raises:
        ValueError: When building: an unknown measure. When evaluating: prediction and truth differ in shape.
    """

    MEASURES: tuple[str, ...]

    def __init__(
        self,
        measures: Measures | None = None,
        normalise: bool = False,
        resize_truth: bool = False,
        per_image_file: TablePath | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.measures = self.MEASURES if measures is None else tuple(measures)
        if unknown := [name for name in self.measures if name not in self.MEASURES]:
            raise ValueError(f'{type(self).__name__}: no measure {", ".join(unknown)}; expected {self.MEASURES}')
        self.normalise = normalise
        self.resize_truth = resize_truth
        self.per_image_file = per_image_file

    @abstractmethod
    def measure(self, pred: torch.Tensor, truth: torch.Tensor) -> dict | None:
        """Compute the measures of an image.

        Args:
            pred (Tensor): Prediction ``(C, H, W)`` in double precision.
            truth (Tensor): Truth ``(C, H, W)`` on the same device; NaN where it is unknown.

        Returns:
            dict | None: Its measures by name, or None if no pixel counts.

        Raises:
            AlignmentError: The prediction cannot be aligned.
        """

    def process(self, data_batch: dict, data_samples: Sequence[dict]):
        """Measure the predictions of one batch.

        Args:
            data_batch (dict): Not used.
            data_samples (Sequence[dict]): Samples with ``pred_target`` and ``gt_target``, whose ``data`` are ``(C, H,
                W)``, and optionally ``gt_valid``, ``(1, H, W)``.
        """
        self.results.extend(map(self._result_of, data_samples))

    def compute_metrics(self, results: list[ImageResult]) -> dict[str, float]:
        """Summarize the selected measures of all images."""
        images = counted(results)
        if self.per_image_file:
            write_table(self.per_image_file, results, self.measures_of_images)
        if broken := [image.name for image in images if not image.measures]:
            message = f'All means are NaN, because these predictions are not finite: {quoted(broken)}'
            print_log(message, logger='current', level=logging.WARNING)
            return dict.fromkeys(self.measures, np.nan)
        return self.summarize([image.measures for image in images])

    @property
    def measures_of_images(self) -> tuple[str, ...]:
        """The selected measures that single images have."""
        return self.measures

    def summarize(self, images: list[dict]) -> dict[str, float]:
        """Average the selected measures over the images."""
        values = {name: np.array([image[name] for image in images]) for name in self.measures_of_images}
        return {name: mean_of_defined(value) for name, value in values.items()}

    def _result_of(self, sample):
        name, (pred, truth) = str(sample.get('img_path')), self._maps_of(sample)
        if not pred.isfinite().all():
            return ImageResult(name)
        try:
            measures = self.measure(pred, truth)
        except AlignmentError as error:
            return ImageResult(name, excluded=str(error))
        return ImageResult(name, excluded='no pixel counts') if measures is None else ImageResult(name, measures)

    def _maps_of(self, sample: dict) -> tuple[torch.Tensor, torch.Tensor]:
        pred, truth = (sample[key]['data'].double() for key in ('pred_target', 'gt_target'))
        if 'gt_valid' in sample:
            truth = truth.where(sample['gt_valid']['data'].bool(), torch.nan)
        if self.resize_truth and pred.shape[1:] != truth.shape[1:]:
            truth = _resize_by_area(truth, pred.shape[1:])
        if pred.shape != truth.shape:
            raise ValueError(
                f'{sample.get("img_path")}: the prediction is {tuple(pred.shape)}, the truth {tuple(truth.shape)} '
                '(channels, height, width). A prediction has the size of its image before Resize: load the truth after '
                'Resize'
            )
        known = truth.isfinite().all(0, keepdim=True)  # (1, H, W)
        if self.normalise:
            pred, truth = stretch(torch.stack([pred, truth]), known.expand(2, 1, -1, -1))
        return pred, truth.where(known, torch.nan)


@METRICS.register_module()
@validated
class ImageErrorMetric(TargetMetric):
    """Measures of images in [0, 1], such as albedo and shading: ``l1``, ``mse``, ``rmse``, ``psnr`` (dB) and ``ssim``.

    The arguments are those of :class:`.TargetMetric`. For the measures see :func:`.image_measures`.
    """

    MEASURES = ('l1', 'mse', 'rmse', 'psnr', 'ssim')

    def measure(self, pred: torch.Tensor, truth: torch.Tensor) -> dict | None:
        """Compute the measures of images ``(C, H, W)``."""
        known = truth[0].isfinite()
        if not known.any():
            return None
        if {'psnr', 'ssim'} & set(self.measures):  # OpenCV computes SSIM on the CPU
            return image_measures(to_numpy(pred), to_numpy(truth))
        return errors(pred[:, known], truth[:, known])


@METRICS.register_module()
@validated
class NormalMapMetric(TargetMetric):
    """Measures of normals ``n``, which are stored as colours ``(n + 1) / 2`` or as vectors.

    - ``l1``: mean absolute error of the colours.
    - ``mean``, ``median`` and ``rmse``: of the angle between predicted and true normals, in degrees.
    - ``5``, ``7.5``, ``11.25``, ``22.5``, ``30``: share of pixels whose angle is below that many degrees.
    - ``pooled_mean``, ``pooled_5`` and so on: the same angles and shares of the pixels of all images together, see
      :func:`.pooled_measures`. DSINE, E2E-FT and Lotus publish these; Marigold publishes the means over images.
    - ``angular``: the official error of DMP, the mean angle between the *colours* in radians. It is less than half as
      large as the angle between the normals.

    Normals need not have unit length. Pixels whose truth is unknown or has no direction do not count: mid-grey, also
    when it is rounded to eight bits.

    Args:
        measures (Sequence[str], optional): Some of these names. Default: all.
        vectors (bool): Prediction and truth are vectors in [-1, 1], as with ``target_mode='normals'``, not colours.
            Defaults to False.
        **kwargs: Arguments of :class:`.TargetMetric`.

    Raises:
        ValueError: The truth has negative numbers, but ``vectors`` is False; see :class:`.TargetMetric`.
    """

    POOLED = {f'pooled_{name}': name for name in normals.MEASURES}
    MEASURES = ('l1', 'angular', *normals.MEASURES, *POOLED)

    def __init__(self, measures: Measures | None = None, vectors: bool = False, **kwargs):
        super().__init__(measures, **kwargs)
        self.vectors = vectors

    def measure(self, pred: torch.Tensor, truth: torch.Tensor) -> dict | None:
        """Compute all measures of normals ``(3, H, W)``."""
        if self.vectors:
            pred, truth = (pred + 1) / 2, (truth + 1) / 2
        elif (truth < 0).any():
            raise ValueError('NormalMapMetric expects colours in [0, 1], but the truth is negative: set vectors=True')
        counted = ((2 * truth - 1) ** 2).sum(0) > NO_DIRECTION**2  # False where it is NaN
        if not counted.any():
            return None
        pred, truth = pred[:, counted], truth[:, counted]
        angular = math.radians(normals.angles_between(pred, truth).mean())
        angles = normals.angles_between(2 * pred - 1, 2 * truth - 1)
        return dict(
            normals.angle_measures(angles),
            l1=errors(pred, truth)['l1'],
            angular=angular,
            **{ANGLES: normals.AngleSummary.of(angles)},
        )

    @property
    def measures_of_images(self) -> tuple[str, ...]:
        """The selected measures that are not pooled."""
        return tuple(name for name in self.measures if name not in self.POOLED)

    def summarize(self, images: list[dict]) -> dict[str, float]:
        """Average the selected measures over the images, or compute them from the pixels of all images."""
        means = super().summarize(images)
        pooled = normals.pooled_measures([image[ANGLES] for image in images]) if images else {}
        return {name: means[name] if name in means else pooled.get(self.POOLED[name], np.nan) for name in self.measures}


@METRICS.register_module()
@validated
class DepthMapMetric(TargetMetric):
    """Measures of absolute, relative or normalised depth.

    Absolute depth (the official option ``--abs``) has the measures of :func:`.depth_measures` besides ``l1`` and
    ``mse``. They cover the pixels whose true depth lies strictly between the limits, NaN excluded. Predictions are
    raised to the lower limit, since several measures take their logarithm. Relative depth and disparity have the same
    measures, after they are aligned with the truth by ``align`` and clamped to both limits. Normalised depth has only
    ``l1``, ``mse`` and ``rmse``, over all pixels: ratios would divide by the nearest depth, which becomes 0.

    Args:
        measures (Sequence[str], optional): Default: all; with ``normalise``, these three.
        min_depth (float): In the unit of the depth. Defaults to 0.001.
        max_depth (float): In the unit of the depth. Defaults to infinity.
        normalise (bool): See :class:`.TargetMetric`. Defaults to False.
        crop_type (str, optional): 'nyu_crop', 'garg_crop' or 'eigen_crop', see :func:`.crop_mask`. Default: none.
        align (str, optional): Fit each prediction to the truth before comparing: 'median', 'least_squares', 'robust',
            or, if the prediction is a disparity, 'least_squares_disparity' or 'robust_disparity', see
            :func:`.fit_depth`. Default: none.
        max_align_size (int, optional): Longer side, in pixels, of the grid on which larger maps are aligned, see
            :func:`.fit_depth`. Default: align with all compared pixels.
        **kwargs: Arguments of :class:`.TargetMetric`.

    Raises:
        ValueError: The lower limit is not below the upper one; a ratio, a crop or an alignment of normalised depth; see
            :class:`.TargetMetric`.
    """

    MEASURES = ('l1', 'mse', *depth.MEASURES)

    def __init__(
        self,
        measures: Measures | None = None,
        min_depth: PositiveFloat = 1e-3,
        max_depth: PositiveOrInfinite = float('inf'),
        normalise: bool = False,
        crop_type: Literal[depth.CROPS] | None = None,
        align: Literal[ALIGNMENTS] | None = None,
        max_align_size: PositiveInt | None = None,
        **kwargs,
    ):
        if normalise and measures is None:
            measures = NORMALISED_DEPTH
        super().__init__(measures, normalise, **kwargs)
        if normalise and (ratios := set(self.measures) - set(NORMALISED_DEPTH)):
            raise ValueError(f'normalise=True: expected some of {NORMALISED_DEPTH} as measures, got {sorted(ratios)}')
        if normalise and (crop_type or align):
            raise ValueError(f'normalise=True cannot be combined with crop_type={crop_type!r} and align={align!r}')
        if not min_depth < max_depth:
            raise ValueError(f'Expected 0 < min_depth < max_depth, got {min_depth}, {max_depth}')
        self.min_depth = min_depth
        self.max_depth = max_depth
        self.crop_type = crop_type
        self.align = align
        self.max_align_size = max_align_size

    def measure(self, pred: torch.Tensor, truth: torch.Tensor) -> dict | None:
        """Compute all measures of depth ``(1, H, W)``, or of ratios of colours ``(3, H, W)``."""
        if self.normalise:
            known = truth.isfinite()
            return errors(pred[known], truth[known]) if known.any() else None
        counted = depth.is_compared(truth, self.min_depth, self.max_depth, self.crop_type)
        if not counted.any():
            return None
        if self.align:
            arrays = map(to_numpy, (pred, truth))
            pred = fit_depth(*arrays, self.align, to_numpy(counted), self.max_align_size).apply(pred)
        pred, truth = pred[counted].clip(self.min_depth, self.max_depth if self.align else None), truth[counted]
        # Single precision decides as the official code whether a ratio is below 1.25, which 5/255 by 4/255 is not.
        return errors(pred, truth) | depth.depth_measures(pred.float(), truth.float())


def _resize_by_area(maps, size):
    height, width = size
    channels = [cv2.resize(each, (width, height), interpolation=cv2.INTER_AREA) for each in maps.cpu().numpy()]
    return torch.as_tensor(np.stack(channels), device=maps.device)
