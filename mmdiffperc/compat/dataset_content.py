"""Check every data set when it is built, and say why it is empty or cannot be listed.

mmengine 0.10.7 accepts one string as ``classes`` (``mmengine/dataset/base_dataset.py:495``), such as ``('tram')``
where the comma was forgotten: mmseg then builds a data set with the classes 't', 'r', 'a' and 'm', mmdet misses a
category, and mmpose misses other metainfo. mmengine fails for an empty data set with NumPy's ``need at least one array
to concatenate`` (``_serialize_data``), and for a missing folder with Python's ``No such file or directory``.

Host packages add checks with :func:`check_every_source`, which run before a data set reads its files, and with
:func:`check_every_dataset`, which run once its samples are listed.

Delete when mmengine refuses a string as classes, names the folder or file of an empty data set, and has a hook for
checks.
"""

import inspect
from collections.abc import Callable, Mapping
from functools import wraps

from mmengine import Config, fileio
from mmengine.dataset import BaseDataset

from mmdiffperc.files import brief
from mmdiffperc.nearest import nearest_path, what_is_there

from .mmdet_coco import check_categories, check_coco, is_coco, patch_reader

Check = Callable[[BaseDataset], None]
CLASSES = ('classes', 'CLASSES')  # the second was common before mmengine
_source_checks: list[Check] = []
_checks: list[Check] = []


def check_every_source(check: Check) -> Check:
    """Register a function that is called with every data set before its files are read, and raises what is wrong."""
    _source_checks.append(check)
    return check


def check_every_dataset(check: Check) -> Check:
    """Register a function that is called with every data set once it has samples, and raises what is wrong."""
    _checks.append(check)
    return check


def check_class_names(metainfo: Mapping, owner: str):
    """Check that the classes in ``metainfo`` are a list of names, or the path of a file that lists them.

    Args:
        metainfo (Mapping): The metainfo of a data set.
        owner (str): Name of the data set's class, for the message.

    Raises:
        ValueError: The classes are one string, and no such file exists.
    """
    for key in CLASSES:
        names = metainfo.get(key)
        if isinstance(names, str) and not fileio.isfile(names):
            raise ValueError(
                f'{owner}: metainfo has {key}={brief(names)}, which is one string and not a list of names. '
                f'{tuple_of_one(names)}'
            )


def tuple_of_one(name: str) -> str:
    """Return how to write a tuple and a list of one class."""
    return f'A tuple of one class is written ({brief(name)},), with a comma, and a list [{brief(name)}]'


def check_content(dataset: BaseDataset):
    """Check that a data set has samples, and run all registered checks.

    Args:
        dataset (BaseDataset): A data set of any host that has listed its samples.

    Raises:
        FileNotFoundError: Its folder contains no file with its suffix, or an image of a COCO file does not exist.
        ValueError: The data set is empty, or its COCO file does not match its classes or images. The message says what
            was found.
    """
    check_class_names(dataset._metainfo, type(dataset).__name__)  # an annotation file may also define them
    if is_coco(dataset):
        check_categories(dataset)  # first, because a misspelt class leaves no samples either
    if not dataset.data_list:
        raise _no_samples(dataset)
    if is_coco(dataset):
        check_coco(dataset)
    for check in _checks:
        check(dataset)


def _no_samples(dataset):
    name = type(dataset).__name__
    if dataset.ann_file:
        reason = f', or filter_cfg={brief(dataset.filter_cfg)} removes all of them' if dataset.filter_cfg else ''
        return ValueError(f'{name} has no samples. {dataset.ann_file} lists none{reason}')
    folder, suffix = dataset.data_prefix.get('img_path') or '', getattr(dataset, 'img_suffix', '')
    there = what_is_there(folder, suffix, _backend_args(dataset))
    return FileNotFoundError(f'{name} has no samples. {folder}: no image with img_suffix={suffix!r}. {there}')


def _missing_source(dataset) -> str | None:
    """Say which file or folder of a data set does not exist, and what exists instead."""
    backend_args, file = _backend_args(dataset), dataset.ann_file
    if file and not fileio.exists(file, backend_args):
        return f'ann_file={file!r} does not exist. {nearest_path(file, backend_args)}'.rstrip()
    folders = [folder for folder in dataset.data_prefix.values() if isinstance(folder, str)]
    missing = next((folder for folder in folders if not fileio.isdir(folder, backend_args)), None)
    return missing and what_is_there(missing, '', backend_args)


def _backend_args(dataset):
    return getattr(dataset, 'backend_args', None)


def _check_given_classes(cls, metainfo):
    if metainfo is None or isinstance(metainfo, (Mapping, Config)):  # mmengine refuses anything else
        check_class_names({**cls.METAINFO, **dict((metainfo or {}).items())}, cls.__name__)


def install() -> None:
    """Run the checks in the methods of mmengine's ``BaseDataset`` from which all data sets inherit."""
    initialise, load_metainfo = BaseDataset.__init__, BaseDataset._load_metainfo.__func__
    full_init, serialize = BaseDataset.full_init, BaseDataset._serialize_data
    parameters = inspect.signature(initialise)

    @wraps(initialise)
    def initialise_checked(dataset, *args, **kwargs):
        patch_reader()
        # Here as well as below: mmpose overrides _load_metainfo, and mmseg does not call this method.
        _check_given_classes(type(dataset), parameters.bind(dataset, *args, **kwargs).arguments.get('metainfo'))
        initialise(dataset, *args, **kwargs)

    @classmethod
    @wraps(load_metainfo)
    def load_metainfo_checked(cls, metainfo=None):
        _check_given_classes(cls, metainfo)
        return load_metainfo(cls, metainfo)

    @wraps(full_init)
    def full_init_checked(dataset):
        if dataset._fully_initialized:
            return
        for check in _source_checks:
            check(dataset)
        try:
            full_init(dataset)
        except (OSError, AssertionError) as error:
            # Errors of the system have a file name, and mmseg asserts that ann_file exists. Other errors are clear.
            is_bare = isinstance(error, AssertionError) or error.filename is not None
            if is_bare and (missing := _missing_source(dataset)):
                raise FileNotFoundError(f'{type(dataset).__name__}: {missing}') from error
            raise
        if not dataset.serialize_data:
            check_content(dataset)

    @wraps(serialize)
    def serialize_checked(dataset):
        check_content(dataset)
        return serialize(dataset)

    BaseDataset.__init__, BaseDataset._load_metainfo = initialise_checked, load_metainfo_checked
    BaseDataset.full_init, BaseDataset._serialize_data = full_init_checked, serialize_checked
