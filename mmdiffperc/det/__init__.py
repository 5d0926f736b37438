"""What mmdetection needs beside its own parts."""

from mmdiffperc.compat.host_imports import host_imports

with host_imports():
    from .inferencer import DetectionInferencer

__all__ = ['DetectionInferencer']
