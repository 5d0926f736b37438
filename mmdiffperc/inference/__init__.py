"""Prediction of target maps for one's own images, without any host."""

from .target_inferencer import TargetInferencer

__all__ = ['TargetInferencer']
