"""Prediction for your own images, without any host."""

from .multi_target_inferencer import MultiTargetInferencer
from .target_inferencer import TargetInferencer
from .tolerant_reader import TolerantReader

__all__ = ['MultiTargetInferencer', 'TargetInferencer', 'TolerantReader']
