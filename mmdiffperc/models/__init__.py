"""Models, and parts of models, that several methods and tasks share and that need no host."""

from . import checks
from .backbones import DiffusionUNet
from .layers import CrossAttentionMaps, LatentAutoencoder, TextAdapter
from .necks import AttentiveRefinementNeck, FinerLevelNeck, MetaPromptsDepthNeck, MetaPromptsNeck
from .prompts import (
    BasePrompts,
    CaptionPrompts,
    ClassPrompts,
    ClassTokenPrompts,
    CombinedPrompts,
    ImageClassPrompts,
    ImageTokenPrompts,
    MetaPrompts,
    ScenePrompts,
    SharedTextPrompts,
    TextPrompts,
)

__all__ = [
    'AttentiveRefinementNeck',
    'BasePrompts',
    'CaptionPrompts',
    'ClassPrompts',
    'ClassTokenPrompts',
    'CombinedPrompts',
    'CrossAttentionMaps',
    'DiffusionUNet',
    'FinerLevelNeck',
    'ImageClassPrompts',
    'ImageTokenPrompts',
    'LatentAutoencoder',
    'MetaPrompts',
    'MetaPromptsDepthNeck',
    'MetaPromptsNeck',
    'ScenePrompts',
    'SharedTextPrompts',
    'TextAdapter',
    'TextPrompts',
    'checks',
]
