"""Captions of images as prompts: their files, their texts, and the transforms that hand them to a model."""

from .caption_file import CaptionFile
from .load_caption import LoadCaption
from .name_classes import NameClasses

__all__ = ['CaptionFile', 'LoadCaption', 'NameClasses']
