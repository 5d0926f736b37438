"""The diffusion backbone in the configs of others."""

from .swap_backbone import swap_backbone

__all__ = ['swap_backbone']
