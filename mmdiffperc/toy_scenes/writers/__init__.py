"""Toy scenes in the hosts' own on-disk formats."""

from .dataset import FORMATS, DatasetSpec, make_sample, write_dataset

__all__ = ['FORMATS', 'DatasetSpec', 'make_sample', 'write_dataset']
