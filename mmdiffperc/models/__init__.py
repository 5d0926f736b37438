"""The core: what two methods or tasks share, without any host."""

from . import channel_check, class_check, complete_model, preprocessor_check, stride_check, test_cfg_check
from .backbones import DiffusionUNet
from .estimators import DeterministicDiffusion
from .layers import CrossAttentionMaps, LatentAutoencoder, TextAdapter
from .necks import FinerLevelNeck, MetaPromptsDepthNeck, MetaPromptsNeck
from .prompts import ClassPrompts, MetaPrompts, ScenePrompts, TextPrompts
from .sharding import wrap_diffusion_blocks

__all__ = [
    'ClassPrompts',
    'CrossAttentionMaps',
    'DeterministicDiffusion',
    'DiffusionUNet',
    'FinerLevelNeck',
    'LatentAutoencoder',
    'MetaPrompts',
    'MetaPromptsDepthNeck',
    'MetaPromptsNeck',
    'ScenePrompts',
    'TextAdapter',
    'TextPrompts',
    'channel_check',
    'class_check',
    'complete_model',
    'preprocessor_check',
    'stride_check',
    'test_cfg_check',
    'wrap_diffusion_blocks',
]
