"""Refuses one string as the classes of a data set, such as ``classes=('tram')``, where the comma was forgotten.

mmengine takes the string (``mmengine/dataset/base_dataset.py:495``). mmseg then builds a data set with the classes
't', 'r', 'a' and 'm'; mmdet misses a category, and mmpose other metainfo.

Delete when mmengine refuses a string.
"""

import inspect
from collections.abc import Mapping
from functools import wraps

from mmengine import Config, fileio
from mmengine.dataset import BaseDataset

from mmdiffperc.files import brief

KEYS = ('classes', 'CLASSES')  # the second was usual before mmengine


def check_class_names(metainfo: Mapping, owner: str):
    """Check that the classes in ``metainfo`` are a list of names, or the path of a file that lists them.

    Args:
        metainfo (Mapping): Of a data set.
        owner (str): Name of the data set's class, for the message.

    Raises:
        ValueError: The classes are one string, and there is no such file.
    """
    for key in KEYS:
        names = metainfo.get(key)
        if isinstance(names, str) and not fileio.isfile(names):
            raise ValueError(
                f'{owner}: metainfo has {key}={brief(names)}, which is one string and not a list of names. '
                f'{tuple_of_one(names)}'
            )


def tuple_of_one(name: str) -> str:
    """Return how a tuple and a list of one class are written."""
    return f'A tuple of one class is written ({brief(name)},), with a comma, and a list [{brief(name)}]'


def install() -> None:
    """Check the classes of every data set before they are used."""
    load, initialise = BaseDataset._load_metainfo.__func__, BaseDataset.__init__
    parameters = inspect.signature(initialise)

    @classmethod
    @wraps(load)
    def load_checked(cls, metainfo=None):
        _check(cls, metainfo)
        return load(cls, metainfo)

    @wraps(initialise)
    def initialise_checked(dataset, *args, **kwargs):  # mmpose overrides _load_metainfo
        _check(type(dataset), parameters.bind(dataset, *args, **kwargs).arguments.get('metainfo'))
        initialise(dataset, *args, **kwargs)

    BaseDataset._load_metainfo = load_checked
    BaseDataset.__init__ = initialise_checked


def _check(cls, metainfo):
    if metainfo is None or isinstance(metainfo, (Mapping, Config)):  # mmengine refuses anything else
        check_class_names({**cls.METAINFO, **dict((metainfo or {}).items())}, cls.__name__)
