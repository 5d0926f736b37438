"""Prompts: what the U-Net looks for."""

from .base_prompts import BasePrompts
from .caption_prompts import CaptionPrompts
from .class_prompts import ClassPrompts
from .class_token_prompts import ClassTokenPrompts
from .combined_prompts import CombinedPrompts
from .image_class_prompts import ImageClassPrompts
from .image_token_prompts import ImageTokenPrompts
from .meta_prompts import MetaPrompts
from .scene_prompts import ScenePrompts
from .shared_text_prompts import SharedTextPrompts
from .text_prompts import TextPrompts

__all__ = [
    'BasePrompts',
    'CaptionPrompts',
    'ClassPrompts',
    'ClassTokenPrompts',
    'CombinedPrompts',
    'ImageClassPrompts',
    'ImageTokenPrompts',
    'MetaPrompts',
    'ScenePrompts',
    'SharedTextPrompts',
    'TextPrompts',
]
