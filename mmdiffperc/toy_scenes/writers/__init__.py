"""Toy scenes in the on-disk formats of the hosts."""

from .dataset import DatasetSpec, make_sample, write_dataset
from .formats import FORMATS, READ_BY_CONFIGS

__all__ = ['FORMATS', 'READ_BY_CONFIGS', 'DatasetSpec', 'make_sample', 'write_dataset']
