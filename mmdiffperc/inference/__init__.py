"""Prediction: the base of every task's inferencer, what it reads and what it writes."""

from .builder import build_inferencer
from .inferencer import ImageInferencer
from .tolerant_reader import TolerantReader, UnreadableFilesError

__all__ = ['ImageInferencer', 'TolerantReader', 'UnreadableFilesError', 'build_inferencer']
