"""The formats of toy data sets, by the names of their folders. Add a writer here to add a format."""

from typing import NamedTuple

from .base import SPLITS, Writer
from .coco import CocoWriter, RefCocoWriter
from .dmp import DmpWriter
from .folders import AdeWriter, NyuWriter


class Format(NamedTuple):
    """What the folder of a format holds.

    Args:
        writer (type[Writer]): Writes it.
        domain (str): Key of ``DOMAINS``.
        splits (tuple[str]): Some of ``SPLITS``.
    """

    writer: type[Writer]
    domain: str
    splits: tuple


_WRITERS = {'ade': AdeWriter, 'nyu': NyuWriter, 'coco': CocoWriter, 'refcoco': RefCocoWriter, 'dmp': DmpWriter}
FORMATS = {name: Format(writer, 'a', SPLITS) for name, writer in _WRITERS.items()}
# Domain b tests generalisation, so that nothing is trained on it.
FORMATS |= {f'{name}_b': Format(writer, 'b', ('val',)) for name, writer in _WRITERS.items()}
READ_BY_CONFIGS = (*_WRITERS, 'dmp_b')
