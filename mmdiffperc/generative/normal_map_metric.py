"""Evaluation of surface normals."""

import numpy as np

from mmdiffperc.evaluation.images import errors
from mmdiffperc.evaluation.normals import MEASURES, normal_measures
from mmdiffperc.registry import METRICS
from mmdiffperc.validation import validated

from .target_metric import TargetMetric


@METRICS.register_module()
@validated
class NormalMapMetric(TargetMetric):
    """Measures of normals ``n`` that are given as colours ``(n + 1) / 2``.

    - ``l1``: mean absolute error of the colours.
    - ``mean`` and ``median``: of the angle between predicted and true normals, in degrees.
    - ``11.25``, ``22.5``, ``30``: share of pixels whose angle is below so many degrees.

    Normals need not have unit length. Pixels whose truth is NaN, or is no direction (mid-grey), do not count.

    Args:
        of_colours (bool): Measure angles between the colours themselves, as the official evaluation of DMP does, which
            makes them less than half as large. Defaults to False.
        **kwargs: Arguments of :class:`.TargetMetric`.
    """

    MEASURES = ('l1', *MEASURES)

    def __init__(self, *args, of_colours: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        self.of_colours = of_colours

    def measure(self, pred: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        """Compute all measures of colours ``(3, H, W)``."""
        pred_vectors, vectors = (pred, truth) if self.of_colours else (2 * pred - 1, 2 * truth - 1)
        compared = np.linalg.norm(vectors, axis=0) > 0  # false for NaN
        if not compared.any():
            return dict.fromkeys(self.MEASURES, np.nan)
        l1 = errors(pred[:, compared], truth[:, compared])['l1']
        return dict(l1=l1, **normal_measures(pred_vectors[:, compared], vectors[:, compared]))
