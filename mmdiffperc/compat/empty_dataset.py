"""Checks every data set when it is built, and says why one is empty or cannot be listed.

mmengine fails for an empty data set with NumPy's ``need at least one array to concatenate``
(``mmengine/dataset/base_dataset.py``, ``_serialize_data``), and for a folder that does not exist with Python's ``No
such file or directory``.

The hosts' parts add checks of their own by :func:`check_every_dataset`.

Delete when mmengine names the folder or file of an empty data set and has a hook for checks.
"""

from collections.abc import Callable
from functools import wraps

from mmengine import fileio
from mmengine.dataset import BaseDataset

from mmdiffperc.files import brief
from mmdiffperc.nearest import nearest_path, what_is_there

from .class_names import check_class_names
from .coco_dataset import check_categories, check_coco, is_coco

Check = Callable[[BaseDataset], None]
_checks: list[Check] = []


def check_every_dataset(check: Check) -> Check:
    """Register a function that gets every data set once its samples are listed, and raises what is wrong with it."""
    _checks.append(check)
    return check


def check_content(dataset: BaseDataset):
    """Check that a data set has samples; one of COCO's format is checked further, see :mod:`.coco_dataset`.

    Args:
        dataset (BaseDataset): Any host's, with its files listed.

    Raises:
        FileNotFoundError: Its folder holds no file of its suffix, or an image of a COCO file does not exist.
        ValueError: The data set is empty, or its COCO file does not fit its classes or images. The message says what is
            there.
    """
    check_class_names(dataset._metainfo, type(dataset).__name__)  # an annotation file may have them, too
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
        reason = f', or filter_cfg={brief(dataset.filter_cfg)} leaves none' if dataset.filter_cfg else ''
        return ValueError(f'{name} has no samples. {dataset.ann_file} lists none{reason}')
    folder, suffix = dataset.data_prefix.get('img_path') or '', getattr(dataset, 'img_suffix', '')
    there = what_is_there(folder, suffix, _backend_args(dataset))
    return FileNotFoundError(f'{name} has no samples. {folder}: no image with img_suffix={suffix!r}. {there}')


def _missing_source(dataset) -> str | None:
    """Say which of a data set's file and folders does not exist, and what is there instead."""
    backend_args, file = _backend_args(dataset), dataset.ann_file
    if file and not fileio.exists(file, backend_args):
        return f'ann_file={file!r} does not exist. {nearest_path(file, backend_args)}'.rstrip()
    folders = [folder for folder in dataset.data_prefix.values() if isinstance(folder, str)]
    missing = next((folder for folder in folders if not fileio.isdir(folder, backend_args)), None)
    return missing and what_is_there(missing, '', backend_args)


def _backend_args(dataset):
    return getattr(dataset, 'backend_args', None)


def install() -> None:
    """Check every data set before mmengine packs the list of its samples."""
    serialize, full_init = BaseDataset._serialize_data, BaseDataset.full_init

    @wraps(serialize)
    def serialize_checked(dataset):
        check_content(dataset)
        return serialize(dataset)

    @wraps(full_init)
    def full_init_checked(dataset):
        is_left_unpacked = not dataset.serialize_data and not dataset._fully_initialized
        try:
            full_init(dataset)
        except (OSError, AssertionError) as error:
            # The system's errors have a file name; mmseg asserts that ann_file exists. Others say what is wrong.
            is_bare = isinstance(error, AssertionError) or error.filename is not None
            if is_bare and (missing := _missing_source(dataset)):
                raise FileNotFoundError(f'{type(dataset).__name__}: {missing}') from error
            raise
        if is_left_unpacked:
            check_content(dataset)

    BaseDataset._serialize_data = serialize_checked
    BaseDataset.full_init = full_init_checked
