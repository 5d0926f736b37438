"""Toy scenes in the on-disk formats of the hosts."""

from .dataset import FORMATS, READ_BY_CONFIGS, DatasetSpec, make_sample, write_dataset

__all__ = ['FORMATS', 'READ_BY_CONFIGS', 'DatasetSpec', 'make_sample', 'write_dataset']
