"""Whole models, where a host has none."""

from .deterministic_diffusion import DeterministicDiffusion
from .deterministic_process import DeterministicProcess
from .pixel_regression import PixelRegression
from .target_codec import TargetCodec

__all__ = ['DeterministicDiffusion', 'DeterministicProcess', 'PixelRegression', 'TargetCodec']
