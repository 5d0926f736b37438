"""Check every data set of mmseg when it is built: its files, and 50 label maps or depth maps together."""

from collections.abc import Iterable, Iterator
from os.path import dirname
from typing import Any

from mmengine import fileio
from mmengine.dataset import BaseDataset
from mmseg.datasets import BaseCDDataset, BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations

from mmdiffperc.compat.dataset_content import check_every_dataset
from mmdiffperc.nearest import check_listed, what_is_there
from mmdiffperc.seg.depth.depth_check import judge_depth
from mmdiffperc.seg.semantic.check_labels import judge_label_maps


@check_every_dataset
def check_seg_dataset(dataset: BaseDataset):
    """Check the files that the pipeline of an mmseg data set loads.

    Data sets of other hosts, files in other storages, and label maps that are loaded by another transform than mmseg's
    ``LoadAnnotations`` are left alone. Without a pipeline, ``LoadAnnotations`` is assumed to load the maps.

    Args:
        dataset (BaseDataset): A data set that has listed its samples.

    Raises:
        FileNotFoundError: An image, a label map or a depth map does not exist. The message says what exists.
        ValueError: A file is empty, or the label maps or the depth maps are wrong, see :func:`.judge_label_maps` and
            :func:`.judge_depth`.
    """
    if not isinstance(dataset, (BaseSegDataset, BaseCDDataset)) or not _is_local(dataset):
        return
    # mmseg would list all images of the folder instead.
    if dataset.ann_file and not fileio.isfile(dataset.ann_file, dataset.backend_args):
        raise FileNotFoundError(
            f'ann_file={dataset.ann_file!r} is not a file; expected a list of the names of the images'
        )
    _check_files(dataset, 'img_path', 'img_suffix')
    transforms = list(_all_transforms(dataset.pipeline.transforms))
    label_loader = _label_loader(transforms)
    loads_depth = any(hasattr(transform, 'depth_rescale_factor') for transform in transforms)
    if label_loader or loads_depth:  # test images may have neither
        _check_folders(dataset)
    if label_loader:
        _check_files(dataset, 'seg_map_path', 'seg_map_suffix')
        judge_label_maps(dataset, label_loader, transforms)
    if loads_depth:
        _check_files(dataset, 'depth_map_path', 'seg_map_suffix')  # mmseg's internal name
        judge_depth(_with(dataset, 'depth_map_path'), transforms)


def _is_local(dataset):
    path = str(dataset.data_list[0].get('img_path', ''))
    if '://' in path:
        return False
    return isinstance(fileio.get_file_backend(path, backend_args=dataset.backend_args), fileio.LocalBackend)


def _all_transforms(transforms: Iterable[Any]) -> Iterator[Any]:
    """Yield transforms, and the transforms inside others such as ``TestTimeAug`` and ``RandomApply``."""
    for transform in transforms:
        yield transform
        for name in ('transforms', 'subroutines'):
            inner = getattr(transform, name, None)
            yield from _all_transforms(inner if isinstance(inner, (list, tuple)) else getattr(inner, 'transforms', ()))


def _label_loader(transforms):
    if not transforms:
        return LoadAnnotations()
    # A user's subclass may need the results of other transforms, or know what 255 means.
    loaders = (transform for transform in transforms if type(transform) is LoadAnnotations)
    return next((loader for loader in loaders if not loader.backend_args), None)


def _with(dataset, key):
    return [sample for sample in dataset.data_list if sample.get(key)]


def _check_folders(dataset):
    for folder in dataset.data_prefix.values():
        if folder and not fileio.isdir(folder, dataset.backend_args):
            raise FileNotFoundError(f'{type(dataset).__name__}: {what_is_there(folder, "", dataset.backend_args)}')


def _check_files(dataset, key, option):
    paths = list(dict.fromkeys(sample[key] for sample in _with(dataset, key)))
    if paths:
        folder, suffix = dataset.data_prefix.get(key) or dirname(paths[0]), getattr(dataset, option)
        name = 'depth_map_suffix' if key == 'depth_map_path' else option
        check_listed(paths, folder, name, suffix, dataset.backend_args)
