"""Prompts: what the U-Net looks for."""

from .base_prompts import BasePrompts
from .class_prompts import ClassPrompts
from .meta_prompts import MetaPrompts
from .scene_prompts import ScenePrompts
from .shared_text_prompts import SharedTextPrompts
from .text_prompts import TextPrompts

__all__ = ['BasePrompts', 'ClassPrompts', 'MetaPrompts', 'ScenePrompts', 'SharedTextPrompts', 'TextPrompts']
