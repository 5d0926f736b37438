"""What the metrics of target maps have in common."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import Annotated

import cv2
import numpy as np
from mmengine.evaluator import BaseMetric

from mmdiffperc.evaluation.images import mean_of_defined
from mmdiffperc.validation import Expected, Listed, validated

Measures = Annotated[Listed[str], Expected('a list of names of measures')]


@validated
class TargetMetric(BaseMetric):
    """Compare ``pred_target`` with ``gt_target``, image by image, and average over the images.

    As the official evaluation of `DMP <https://arxiv.org/abs/2311.18832>`_: the mean is that of the images' measures,
    and nothing is aligned. An image whose measure is undefined is left out of its mean. A prediction that is not finite
    makes all means NaN.

    Args:
        measures (Sequence[str], optional): Some of those the metric has, in ``MEASURES``. Default: all.
        normalise (bool): Stretch prediction and truth, each of them and each image by itself, from their minimum to
            their maximum; the official option ``--norm``. Defaults to False.
        resize_truth (bool): Where prediction and truth differ in size, resize the truth to the prediction by averaging
            areas, as the official code does; otherwise it is an error. Defaults to False.
        **kwargs: Arguments of mmengine's ``BaseMetric``.

    Raises:
        ValueError: When building: there is no such measure. When evaluating: prediction and truth differ in shape.
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
    def measure(self, pred: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        """Compute all measures of an image, of maps ``(C, H, W)`` in double precision."""

    def process(self, data_batch: dict, data_samples: Sequence[dict]):
        """Measure the predictions of one batch.

        Args:
            data_batch (dict): Not used.
            data_samples (Sequence[dict]): With ``pred_target`` and ``gt_target``, ``data`` of ``(C, H, W)``.
        """
        for pred, truth in map(self._maps_of, data_samples):
            self.results.append(self.measure(pred, truth) if np.isfinite(pred).all() else None)

    def compute_metrics(self, results: list[dict[str, float] | None]) -> dict[str, float]:
        """Average the chosen measures over the images."""
        if None in results:
            return dict.fromkeys(self.measures, np.nan)
        values = {name: np.array([result[name] for result in results]) for name in self.measures}
        return {name: mean_of_defined(value) for name, value in values.items()}

    def _maps_of(self, sample: dict) -> tuple[np.ndarray, np.ndarray]:
        pred, truth = (sample[key]['data'].double().cpu().numpy() for key in ('pred_target', 'gt_target'))
        if self.resize_truth and pred.shape[1:] != truth.shape[1:]:
            truth = resize_by_area(truth, pred.shape[1:])
        if pred.shape != truth.shape:
            raise ValueError(
                f'{sample.get("img_path")}: the prediction is {pred.shape}, the truth {truth.shape} (channels, height, '
                'width). The prediction has the size that the image has when it is loaded: load the truth after Resize'
            )
        return (stretch(pred), stretch(truth)) if self.normalise else (pred, truth)


def resize_by_area(target: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Resize ``(C, H, W)`` to a height and width by averaging areas."""
    height, width = size
    return np.stack([cv2.resize(channel, (width, height), interpolation=cv2.INTER_AREA) for channel in target])


def stretch(target: np.ndarray) -> np.ndarray:
    """Map the minimum to 0 and the maximum to 1; what is constant becomes 0."""
    low, high = target.min(), target.max()
    return (target - low) / (high - low if high > low else 1)
