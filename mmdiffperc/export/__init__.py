"""Export of trained models to files that run without mmdiffperc."""

from .part import IMAGE, Input, Part
from .parts import find_part, normalisation
from .program import check_sizes, export_part

__all__ = ['IMAGE', 'Input', 'Part', 'check_sizes', 'export_part', 'find_part', 'normalisation']
