"""The formats of toy data sets, by the names of their folders. Add a writer here to add a format."""

from typing import NamedTuple

from mmdiffperc.toy_scenes.domains import DOMAINS

from .base import SPLITS, Writer
from .captions import CaptionWriter
from .coco import CocoWriter, RefCocoWriter, SentenceKindsWriter
from .dmp import DmpWriter
from .folders import AdeWriter, NyuWriter


class Format(NamedTuple):
    """What the folder of a format holds.

    Args:
        writer (type[Writer]): Writes it.
        domain (str, optional): Key of ``DOMAINS``; None for the domain of the :class:`.DatasetSpec`.
        splits (tuple[str]): Some of ``SPLITS``.
    """

    writer: type[Writer]
    domain: str | None
    splits: tuple


_WRITERS = {
    'ade': AdeWriter,
    'nyu': NyuWriter,
    'coco': CocoWriter,
    'refcoco': RefCocoWriter,
    'dmp': DmpWriter,
    'captions': CaptionWriter,
}
FORMATS = {name: Format(writer, None, SPLITS) for name, writer in _WRITERS.items()}
# The other domains test models that were trained on domain a.
FORMATS |= {
    f'{name}_{domain}': Format(writer, domain, ('val',))
    for domain in DOMAINS
    if domain != 'a'
    for name, writer in _WRITERS.items()
}
FORMATS['refcoco_kinds'] = Format(SentenceKindsWriter, 'a', ('val',))
READ_BY_CONFIGS = (*_WRITERS, 'dmp_b')
