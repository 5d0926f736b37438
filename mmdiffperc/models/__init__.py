"""The core: what two methods or tasks share, without any host."""

from . import channel_check
from .backbones import DiffusionUNet
from .layers import CrossAttentionMaps, LatentAutoencoder, TextAdapter
from .prompts import ClassPrompts, ScenePrompts, TextPrompts

__all__ = [
    'ClassPrompts',
    'CrossAttentionMaps',
    'DiffusionUNet',
    'LatentAutoencoder',
    'ScenePrompts',
    'TextAdapter',
    'TextPrompts',
    'channel_check',
]
