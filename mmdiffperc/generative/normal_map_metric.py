"""Evaluation of surface normals."""

import numpy as np

from mmdiffperc.registry import METRICS
from mmdiffperc.validation import validated

from .target_metric import TargetMetric, errors

THRESHOLDS = (11.25, 22.5, 30)


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

    MEASURES = ('l1', 'mean', 'median', *map(str, THRESHOLDS))

    def __init__(self, *args, of_colours: bool = False, **kwargs):
        super().__init__(*args, **kwargs)
        self.of_colours = of_colours

    def measure(self, pred: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        """Compute all measures of colours ``(3, H, W)``."""
        vectors = truth if self.of_colours else 2 * truth - 1
        counts = np.linalg.norm(vectors, axis=0) > 0  # not so where it is NaN
        if not counts.any():
            return dict.fromkeys(self.MEASURES, np.nan)
        pred, truth = pred[:, counts], truth[:, counts]  # (3, N)
        angles = angles_between(pred, truth) if self.of_colours else angles_between(2 * pred - 1, 2 * truth - 1)
        shares = {str(threshold): np.mean(angles < threshold) for threshold in THRESHOLDS}
        return dict(l1=errors(pred, truth)['l1'], mean=np.mean(angles), median=np.median(angles), **shares)


def angles_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the angles in degrees between vectors ``(3, N)``; a vector without length is at a right angle to all."""
    lengths = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    cosines = np.sum(a * b, axis=0) / np.where(lengths > 0, lengths, 1)
    return np.degrees(np.arccos(cosines.clip(-1, 1)))
