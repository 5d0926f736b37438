"""Says why a data set is empty, or which classes its annotations lack.

mmengine fails for an empty data set with NumPy's ``need at least one array to concatenate``
(``mmengine/dataset/base_dataset.py``, ``_serialize_data``). mmdet numbers only those classes that it finds in the
annotations (``mmdet/datasets/coco.py``, ``load_data_list``), so a misspelt class shifts the labels of all that follow.

Delete when mmengine names the folder or file of an empty data set, and mmdet refuses classes that the annotations lack.
"""

from functools import wraps
from pathlib import Path, PurePath

from mmengine import fileio
from mmengine.dataset import BaseDataset

from mmdiffperc.files import brief, read_json
from mmdiffperc.nearest import nearest_names, what_is_there


def check_content(dataset: BaseDataset):
    """Check that a data set has samples, and annotations and images for its classes.

    Args:
        dataset (BaseDataset): Any host's, with its files listed.

    Raises:
        FileNotFoundError: The first image that a COCO file names does not exist.
        ValueError: The data set is empty, or some of its classes are no category of its COCO file. The message says
            what is there.
    """
    categories, classes = getattr(dataset, 'cat_ids', None), dataset.metainfo.get('classes')
    is_coco = isinstance(categories, list)
    if is_coco and classes and len(categories) < len(classes):
        raise ValueError(f'{dataset.ann_file}: {_missing_classes(dataset, classes)}')
    if not dataset.data_list:
        raise ValueError(f'{type(dataset).__name__} has no samples. {_what_was_looked_for(dataset)}')
    if is_coco and not dataset.backend_args:  # other storages may be slow, or unable to tell
        _check_first_image(dataset)


def _missing_classes(dataset, classes):
    with fileio.get_local_path(dataset.ann_file, backend_args=dataset.backend_args) as path:
        names = [category['name'] for category in read_json(path)['categories']]
    missing = [name for name in classes if name not in names]
    nearest = [brief(near) for name in missing[:3] for near in nearest_names(name, names)]
    guess = f'. Did you mean {" or ".join(nearest)}?' if nearest else '.'
    return (
        f'no category is called {brief(missing)}; there are {brief(names)}{guess} Set the classes in metainfo of the '
        'data set'
    )


def _what_was_looked_for(dataset):
    if dataset.ann_file:
        return f'{dataset.ann_file} lists none, or filter_cfg={brief(dataset.filter_cfg)} leaves none'
    folder, suffix = dataset.data_prefix.get('img_path', ''), getattr(dataset, 'img_suffix', '')
    return f'Looked for img_suffix={suffix!r}; {what_is_there(folder, suffix, getattr(dataset, "backend_args", None))}'


def _check_first_image(dataset):
    path = dataset.data_list[0].get('img_path', '')
    if path and '://' not in path and not Path(path).is_file():
        folder = dataset.data_prefix.get('img', '')
        raise FileNotFoundError(
            f'{path}, the first image of {dataset.ann_file}, does not exist. '
            f'{what_is_there(folder, PurePath(path).suffix)}'
        )


def install() -> None:
    """Check every data set before mmengine packs the list of its samples."""
    serialize = BaseDataset._serialize_data

    @wraps(serialize)
    def serialize_checked(dataset):
        check_content(dataset)
        return serialize(dataset)

    BaseDataset._serialize_data = serialize_checked
