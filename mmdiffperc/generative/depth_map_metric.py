"""Evaluation of depth as a target map."""

import numpy as np

from mmdiffperc.evaluation.depth import MEASURES, depth_measures, is_compared
from mmdiffperc.evaluation.images import errors
from mmdiffperc.registry import METRICS
from mmdiffperc.validation import PositiveFloat, PositiveOrInfinite, validated

from .target_metric import Measures, TargetMetric

NORMALISED = ('l1', 'mse', 'rmse')


@METRICS.register_module()
@validated
class DepthMapMetric(TargetMetric):
    """Measures of depth, absolute or normalised.

    Absolute depth (the official option ``--abs``) has :func:`.depth_measures`, ``l1`` and ``mse``, at pixels
    whose true depth lies between the limits, both excluded; where it is NaN they do not count. Predictions are raised
    to the lower limit, since several measures take their logarithm. With ``normalise``, only ``l1``, ``mse`` and
    ``rmse`` make sense, of all pixels: the ratios would divide by the nearest depth, which becomes 0.

    Args:
        measures (Sequence[str], optional): Default: all; with ``normalise``, those three.
        min_depth (float): In the unit of the depth. Defaults to 0.001.
        max_depth (float): Likewise. Defaults to infinity.
        normalise (bool): See :class:`.TargetMetric`. Defaults to False.
        **kwargs: Arguments of :class:`.TargetMetric`.

    Raises:
        ValueError: Limits that hold nothing; a ratio of normalised depth; see :class:`.TargetMetric`.
    """

    MEASURES = ('l1', 'mse', *MEASURES)

    def __init__(
        self,
        measures: Measures | None = None,
        min_depth: PositiveFloat = 1e-3,
        max_depth: PositiveOrInfinite = float('inf'),
        normalise: bool = False,
        **kwargs,
    ):
        if normalise and measures is None:
            measures = NORMALISED
        super().__init__(measures, normalise, **kwargs)
        if normalise and (ratios := set(self.measures) - set(NORMALISED)):
            raise ValueError(f'normalise=True goes with {NORMALISED}, not with {sorted(ratios)}')
        if not min_depth < max_depth:
            raise ValueError(f'Expected 0 < min_depth < max_depth, got {min_depth}, {max_depth}')
        self.min_depth = min_depth
        self.max_depth = max_depth

    def measure(self, pred: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        """Compute all measures of depth ``(1, H, W)``."""
        if self.normalise:
            return errors(pred, truth)
        compared = is_compared(truth, self.min_depth, self.max_depth)
        if not compared.any():
            return dict.fromkeys(self.MEASURES, np.nan)
        pred, truth = pred[compared].clip(self.min_depth), truth[compared]
        return errors(pred, truth) | depth_measures(pred, truth)
