"""What mmdetection needs beside its own parts."""

from .inferencer import DetectionInferencer

__all__ = ['DetectionInferencer']
