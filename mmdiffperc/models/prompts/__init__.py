"""Prompts: what the U-Net is told to look for."""

from .class_prompts import ClassPrompts
from .meta_prompts import MetaPrompts
from .scene_prompts import ScenePrompts
from .text_prompts import TextPrompts

__all__ = ['ClassPrompts', 'MetaPrompts', 'ScenePrompts', 'TextPrompts']
