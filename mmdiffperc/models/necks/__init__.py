"""Necks."""

from .meta_prompts_depth_neck import MetaPromptsDepthNeck
from .meta_prompts_neck import MetaPromptsNeck

__all__ = ['MetaPromptsDepthNeck', 'MetaPromptsNeck']
