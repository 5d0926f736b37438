"""Evaluation of depth maps."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from mmengine.logging import MMLogger
from mmseg.registry import METRICS

from mmdiffperc.evaluation.alignment import ALIGNMENTS, AlignmentError
from mmdiffperc.evaluation.depth import CROPS, MEASURES, evaluate_depth
from mmdiffperc.evaluation.image_results import ImageResult, TablePath, counted, write_table
from mmdiffperc.files import relative_name, write_whole
from mmdiffperc.inference.writers import encode_png
from mmdiffperc.validation import (
    Expected,
    Listed,
    Location,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    PositiveOrInfinite,
    Text,
    validated,
)

MAX_UINT16 = np.iinfo(np.uint16).max
DepthMeasures = Annotated[Listed[Literal[MEASURES]], Expected(f'a list of some of {", ".join(MEASURES)}')]


@METRICS.register_module()
@validated
class MonocularDepthMetric(BaseMetric):
    """Measures of depth as in the official evaluation of VPD and MetaPrompts, averaged over images.

    It has the arguments of mmseg's ``DepthMetric``, which supports neither the crops of KITTI nor alignment, and does
    not handle NaN. The pixels whose true depth lies between the limits (both excluded) and inside the crop are
    compared, see :func:`.evaluate_depth`. In the prediction, infinity is replaced by ``max_depth_eval`` and NaN by
    ``min_depth_eval``; windows with an integer stride leave the last columns of a KITTI image without a prediction,
    which is NaN. An image without a compared pixel, or whose prediction cannot be aligned, is left out of the means,
    with a warning at the end. As in the official evaluation, an image whose measures are not finite stays in the means;
    a prediction of 0, for example, has no logarithm. A warning names the image.

    Args:
        depth_metrics (Sequence[str], optional): Some of d1, d2, d3, abs_rel, sq_rel, rmse, rmse_log, log10, silog,
            irmse and kitti_silog, see :func:`.depth_measures`. Default: all.
        min_depth_eval (float): Lower limit in metres. Defaults to 0.001.
        max_depth_eval (float): Upper limit in metres; 80 for KITTI. Defaults to 10.
        crop_type (str, optional): 'nyu_crop', 'garg_crop' or 'eigen_crop', see :func:`.crop_mask`. Default: none.
        align (str, optional): Fit each prediction to the truth before comparing: 'median', 'least_squares', 'robust',
            or, if the prediction is a disparity, 'least_squares_disparity' or 'robust_disparity', see
            :func:`.fit_depth`. Aligned predictions are clamped to the limits. Default: none.
        max_align_size (int, optional): Longer side, in pixels, of the grid on which larger maps are aligned, see
            :func:`.fit_depth`. Default: align with all compared pixels.
        clamp (bool): Always clamp predictions to the limits. The official evaluation does not. Defaults to False.
        output_dir (str, optional): Folder for the predictions, as 16-bit PNG files named after the images, or after
            ``sample_name`` if the data set defines it.
        depth_scale_factor (float): Units of these files per metre; 256 for KITTI. Defaults to 1000.
        per_image_file (str, optional): File for a table with the measures of each image, which ends in ``.csv`` or
            ``.json``, see :func:`.write_table`. Default: none.
        format_only (bool): Write the predictions without evaluating; no true depth is needed. Defaults to False.
        keep_results (bool): Not used, because files in ``output_dir`` are never removed; mmseg's ``test.py --out DIR``
            sets it. Defaults to False.
        collect_device (str): 'cpu' or 'gpu', where results of several processes are collected. Defaults to 'cpu'.
        prefix (str, optional): Prefix of the names of the results.

    Raises:
        ValueError: When building: an unknown measure or none, a lower limit that is not below the upper one,
            ``format_only`` without ``output_dir``, or depth that does not fit into 16 bits. When evaluating: prediction
            and truth differ in size, or do not have the size of the crop.
    """

    def __init__(
        self,
        depth_metrics: DepthMeasures | None = None,
        min_depth_eval: NonNegativeFloat = 1e-3,
        max_depth_eval: PositiveOrInfinite = 10.0,
        crop_type: Literal[CROPS] | None = None,
        align: Literal[ALIGNMENTS] | None = None,
        max_align_size: PositiveInt | None = None,
        clamp: bool = False,
        output_dir: Location | None = None,
        depth_scale_factor: PositiveFloat = 1000.0,
        per_image_file: TablePath | None = None,
        format_only: bool = False,
        keep_results: bool = False,
        collect_device: Literal['cpu', 'gpu'] = 'cpu',
        prefix: Text | None = None,
    ):
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.depth_metrics = tuple(depth_metrics or MEASURES)
        if min_depth_eval >= max_depth_eval:
            raise ValueError(f'Expected min_depth_eval < max_depth_eval, got {min_depth_eval} and {max_depth_eval}')
        if format_only and output_dir is None:
            raise ValueError('format_only=True only writes predictions: set output_dir to their folder')
        if output_dir and max_depth_eval * depth_scale_factor > MAX_UINT16:
            raise ValueError(
                f'max_depth_eval {max_depth_eval} times depth_scale_factor {depth_scale_factor} does not fit into 16 '
                'bits: lower one of them (KITTI: 80 and 256)'
            )
        self.min_depth_eval = min_depth_eval
        self.max_depth_eval = max_depth_eval
        self.crop_type = crop_type
        self.align = align
        self.max_align_size = max_align_size
        self.clamp = clamp or align is not None
        self.output_dir = output_dir and Path(output_dir)
        self.depth_scale_factor = depth_scale_factor
        self.per_image_file = per_image_file
        self.format_only = format_only

    def process(self, data_batch: dict, data_samples: Sequence[dict]):
        """Measure the predictions of one batch, and write them to ``output_dir`` if it is set.

        Args:
            data_batch (dict): Not used.
            data_samples (Sequence[dict]): Samples with ``pred_depth_map`` and ``gt_depth_map``, whose ``data`` are
                ``(1, H, W)``.
        """
        for sample in data_samples:
            pred = sample['pred_depth_map']['data'].squeeze(0)
            pred = pred.nan_to_num(self.min_depth_eval, self.max_depth_eval, self.max_depth_eval)
            if not self.format_only:
                self.results.append(self._measure(pred, sample['gt_depth_map']['data'].squeeze(0), sample))
            if self.output_dir:
                self._write(pred, sample)

    def compute_metrics(self, results: list[ImageResult]) -> dict[str, float]:
        """Average over the images.

        Args:
            results (list[ImageResult]): The measures of every image.

        Returns:
            dict[str, float]: The selected measures; NaN if no image counts.
        """
        if self.format_only:
            return {}
        images = [result.measures for result in counted(results)]
        if self.per_image_file:
            write_table(self.per_image_file, results, self.depth_metrics)
        return {name: float(sum(m[name] for m in images) / (len(images) or np.nan)) for name in self.depth_metrics}

    def _measure(self, pred: torch.Tensor, gt: torch.Tensor, sample: dict) -> ImageResult:
        if pred.shape != gt.shape:
            raise ValueError(
                f'{sample.get("img_path")}: predicted depth is {_size(pred)}, true depth {_size(gt)} (height x width). '
                'The prediction has the size of the loaded image: check that the depth file belongs to this image and '
                'is loaded after the image and cropped with it'
            )
        maps = (depth.float().cpu().numpy() for depth in (pred, gt))
        limits = self.min_depth_eval, self.max_depth_eval
        name = str(sample.get('img_path'))
        try:
            measures = evaluate_depth(*maps, *limits, self.crop_type, self.align, self.clamp, self.max_align_size)
        except AlignmentError as error:
            return ImageResult(name, excluded=str(error))
        except ValueError as error:
            raise ValueError(f'{name}: {error}') from error
        if measures is None:
            where = f'between {self.min_depth_eval} and {self.max_depth_eval} inside the crop {self.crop_type}'
            return ImageResult(name, excluded=f'there is no true depth {where}')
        self._warn_if_not_finite(measures, sample)
        return ImageResult(name, measures)

    def _warn_if_not_finite(self, measures: dict[str, float], sample: dict):
        if spoilt := [name for name in self.depth_metrics if not np.isfinite(measures[name])]:
            MMLogger.get_current_instance().warning(
                f'{sample.get("img_path")}: {", ".join(spoilt)} and their means are not finite, because some predicted '
                'depth is 0 or negative; clamp=True raises it to min_depth_eval'
            )

    def _write(self, pred: torch.Tensor, sample: dict):
        name = relative_name(sample.get('sample_name') or Path(sample['img_path']).stem, 'sample_name')
        units = (pred.double().cpu().numpy() * self.depth_scale_factor).round().clip(0, MAX_UINT16)
        write_whole(self.output_dir / f'{name}.png', encode_png(units.astype(np.uint16)))


def _size(depth):
    return ' x '.join(map(str, depth.shape))
