"""Toy scenes: small rendered rooms with exact ground truth for every task, generated from a seed."""

from .language import caption, referring_expressions
from .render import Instance, Rendering, render
from .sampling import sample_scene
from .scene import Scene
from .vocabulary import OBJECT_CLASSES, OBJECT_COLOURS, TOY_CLASSES, TOY_PALETTE

__all__ = [
    'OBJECT_CLASSES',
    'OBJECT_COLOURS',
    'TOY_CLASSES',
    'TOY_PALETTE',
    'Instance',
    'Rendering',
    'Scene',
    'caption',
    'referring_expressions',
    'render',
    'sample_scene',
]
