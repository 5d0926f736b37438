"""The core: what two methods or tasks share, without any host."""

from . import channel_check
from .backbones import DiffusionUNet
from .layers import CrossAttentionMaps, LatentAutoencoder, TextAdapter
from .prompts import ClassPrompts

__all__ = ['ClassPrompts', 'CrossAttentionMaps', 'DiffusionUNet', 'LatentAutoencoder', 'TextAdapter', 'channel_check']
