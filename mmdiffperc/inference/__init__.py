"""Prediction of target maps for one's own images, without any host."""

from .multi_target_inferencer import MultiTargetInferencer
from .target_inferencer import TargetInferencer

__all__ = ['MultiTargetInferencer', 'TargetInferencer']
