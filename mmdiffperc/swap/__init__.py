"""Replace the backbone of a config by the diffusion backbone."""

from .swap_backbone import swap_backbone

__all__ = ['swap_backbone']
