"""Metrics of target maps, and the protocols of published tests."""

from .coloured_segmentation import ColouredSegMetric
from .target_metrics import DepthMapMetric, ImageErrorMetric, NormalMapMetric
from .zero_shot import FollowProtocol, ZeroShotDepthMetric, ZeroShotTestLoop

__all__ = [
    'ColouredSegMetric',
    'DepthMapMetric',
    'FollowProtocol',
    'ImageErrorMetric',
    'NormalMapMetric',
    'ZeroShotDepthMetric',
    'ZeroShotTestLoop',
]
