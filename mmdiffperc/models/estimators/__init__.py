"""Whole models, where a host has none."""

from .deterministic_diffusion import DeterministicDiffusion
from .deterministic_process import DeterministicProcess
from .target_codec import TargetCodec

__all__ = ['DeterministicDiffusion', 'DeterministicProcess', 'TargetCodec']
