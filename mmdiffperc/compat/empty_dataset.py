"""Says why a data set is empty.

mmengine fails for an empty data set with NumPy's ``need at least one array to concatenate``
(``mmengine/dataset/base_dataset.py``, ``_serialize_data``).

Delete when mmengine names the folder or file of an empty data set.
"""

from functools import wraps

from mmengine.dataset import BaseDataset

from mmdiffperc.files import brief
from mmdiffperc.nearest import what_is_there

from .coco_dataset import check_categories, check_coco, is_coco


def check_content(dataset: BaseDataset):
    """Check that a data set has samples; one of COCO's format is checked further, see :mod:`.coco_dataset`.

    Args:
        dataset (BaseDataset): Any host's, with its files listed.

    Raises:
        FileNotFoundError: An image of a COCO file does not exist.
        ValueError: The data set is empty, or its COCO file does not fit its classes or images. The message says what is
            there.
    """
    if is_coco(dataset):
        check_categories(dataset)  # first, because a misspelt class leaves no samples either
    if not dataset.data_list:
        raise ValueError(f'{type(dataset).__name__} has no samples. {_what_was_looked_for(dataset)}')
    if is_coco(dataset):
        check_coco(dataset)


def _what_was_looked_for(dataset):
    if dataset.ann_file:
        return f'{dataset.ann_file} lists none, or filter_cfg={brief(dataset.filter_cfg)} leaves none'
    folder, suffix = dataset.data_prefix.get('img_path', ''), getattr(dataset, 'img_suffix', '')
    return f'Looked for img_suffix={suffix!r}; {what_is_there(folder, suffix, getattr(dataset, "backend_args", None))}'


def install() -> None:
    """Check every data set before mmengine packs the list of its samples."""
    serialize = BaseDataset._serialize_data

    @wraps(serialize)
    def serialize_checked(dataset):
        check_content(dataset)
        return serialize(dataset)

    BaseDataset._serialize_data = serialize_checked
