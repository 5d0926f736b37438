"""Necks."""

from .attentive_refinement_neck import AttentiveRefinementNeck
from .finer_level_neck import FinerLevelNeck
from .meta_prompts_depth_neck import MetaPromptsDepthNeck
from .meta_prompts_neck import MetaPromptsNeck

__all__ = ['AttentiveRefinementNeck', 'FinerLevelNeck', 'MetaPromptsDepthNeck', 'MetaPromptsNeck']
