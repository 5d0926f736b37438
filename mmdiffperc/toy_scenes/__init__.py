"""Toy scenes: small rendered scenes with exact ground truth for every task, generated from a seed."""

from .language import caption, referring_expressions
from .render import render
from .sampling import sample_scene
from .vocabulary import OBJECT_COLOURS, TOY_CLASSES, TOY_PALETTE

__all__ = [
    'OBJECT_COLOURS',
    'TOY_CLASSES',
    'TOY_PALETTE',
    'caption',
    'referring_expressions',
    'render',
    'sample_scene',
]
