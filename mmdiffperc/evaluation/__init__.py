"""Evaluation that needs no host."""

from .coloured_seg_metric import ColouredSegMetric
from .depth_map_metric import DepthMapMetric
from .image_error_metric import ImageErrorMetric
from .normal_map_metric import NormalMapMetric

__all__ = ['ColouredSegMetric', 'DepthMapMetric', 'ImageErrorMetric', 'NormalMapMetric']
