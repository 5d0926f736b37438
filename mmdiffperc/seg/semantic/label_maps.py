"""A sample of label maps, judged together, because a single map may well lack most classes."""

import warnings
from collections.abc import Sequence
from typing import Any

from mmengine.dataset import BaseDataset
from mmseg.datasets.transforms import LoadAnnotations

from mmdiffperc.files import quoted, spread
from mmdiffperc.inference.image_headers import image_loader, read_header

from .check_labels import CheckLabels, check_bits, check_channels, check_size, occurring_labels
from .checked_seg_dataset import CheckedSegDataset

# Of more classes, some are usually too rare to be in the sample.
FEW_CLASSES = 10
# From this share on of the label maps that hold anything but 0, those without a class beside it are worth a warning.
SHARE_IGNORED = 0.5
NUM_BINARY = 2  # a head of one output channel tells labels 0 and 1 apart, even where one class has a name


def judge_label_maps(dataset: BaseDataset, loader: LoadAnnotations, transforms: Sequence[Any] = ()):
    """Check the labels of 50 label maps of a data set together, and each map unless the pipeline does.

    It warns of labels that no class has, and of classes that never occur; among more than 10 classes, only if at most
    one occurs. It warns if half of the maps hold 0 and the ignored label only, and if the EXIF orientation turns or
    mirrors images without changing their size, because label maps are not turned.

    Args:
        dataset (BaseDataset): One of mmseg's. Samples without ``seg_map_path`` are left out.
        loader (LoadAnnotations): The transform of mmseg that loads the maps.
        transforms (Sequence[Any]): The pipeline of the data set. Its loader of images decides whether the EXIF
            orientation turns them; :class:`.CheckLabels` checks each map later.

    Raises:
        ValueError: A map cannot be read; several hold no labels but 0 and the ignored one, or after
            ``reduce_zero_label`` the ignored one only. Without :class:`.CheckLabels`, also: a map has several channels,
            another size than its image, or numbers above 255.
    """
    loader_of_images = image_loader(transforms)
    is_checked = any(isinstance(transform, CheckLabels) for transform in transforms)
    samples = spread([sample for sample in dataset.data_list if sample.get('seg_map_path')])
    if not samples:
        return
    stored, mapped = [], []
    for sample in samples:
        loaded = _load(sample, loader)
        if not is_checked:
            _check_map(loaded, loader_of_images)
        stored.append(set(occurring_labels(loaded['gt_seg_map']).tolist()))
        mapped.append(_map(stored[-1], sample.get('label_map') or {}))
    where = _name(samples)
    # Both together, because a data set may take a few classes of many, and ignore all others.
    _check_ignored(dataset, [one | other for one, other in zip(stored, mapped, strict=True)], where)
    _warn_of_classes(dataset, set().union(*mapped), where)
    _warn_of_turned_images(samples, loader_of_images)


def _load(sample, loader):
    try:
        return loader.transform(sample | dict(label_map=None, seg_fields=[]))
    except (OSError, SyntaxError, AttributeError) as error:  # of Pillow, and of OpenCV's None; they name no file
        raise ValueError(f'{sample["seg_map_path"]}: empty, damaged, or not a label map; get the file again') from error


def _check_map(loaded, loader):
    check_bits(loaded)
    check_channels(loaded)
    if header := read_header(loaded.get('img_path')):
        check_size(loaded, header.sizes(loader))


def _map(labels: set[int], label_map: dict[int, int]) -> set[int]:
    """Map the few labels, and not all pixels as the loader would: Mapillary's maps are large and its list is long."""
    return {label_map.get(label, label) for label in labels}


def _name(samples: Sequence[dict]) -> str:
    first, others = samples[0]['seg_map_path'], len(samples) - 1
    return f'{first} and {others} more label map{"s" * (others > 1)}' if others else first


def _check_ignored(dataset, maps, where):
    labels, ignored = set().union(*maps), dataset.ignore_index
    # Where 0 means nothing, label 0 of a loaded map is a class like any other.
    nothing = {ignored} if dataset.reduce_zero_label else {0, ignored}
    num_ignored = sum(ignored in one and one <= nothing for one in maps)
    num_told = sum(one != {0} for one in maps)  # a map of 0 alone tells nothing
    if num_ignored < 2 or num_ignored < SHARE_IGNORED * num_told:  # a single map may be so
        return
    if labels <= nothing:
        found = _describe(dataset, labels)
    else:
        found = f'{num_ignored} hold no labels but {quoted(sorted(nothing))}, and {ignored} is ignored.'
    message = f'{where}: {found} {_advice(dataset)}'
    if labels <= nothing and _is_refused(dataset, labels):
        raise ValueError(message)
    warnings.warn(message, stacklevel=2)


def _is_refused(dataset, labels):
    if labels == {dataset.ignore_index}:
        # The maps of a test split that is not public, such as that of Cityscapes, hold nothing else.
        return not dataset.test_mode or dataset.reduce_zero_label
    return len(_classes(dataset)) > 1


def _describe(dataset, labels):
    ignored = dataset.ignore_index
    if labels == {ignored}:
        reason = ', because reduce_zero_label=True ignores 0, too' if dataset.reduce_zero_label else ''
        return f'the only label left is {ignored}, which is ignored{reason}. No class occurs.'
    return (
        f'the labels are {sorted(labels)} only, and {ignored} is ignored, so at most the first of the classes '
        f'{quoted(_classes(dataset))} occurs.'
    )


def _advice(dataset):
    ignored, name = dataset.ignore_index, type(dataset).__name__
    options = f'{"reduce_zero_label=False, " * dataset.reduce_zero_label}label_map={{{ignored}: 1}}'
    if isinstance(dataset, CheckedSegDataset):
        way = f'set {options} of {name}'
    else:
        way = f"{name} has no label_map: use type='CheckedSegDataset' with {options} and the classes in metainfo"
    return f'If {ignored} means class 1, {way}. Otherwise, check that these are the label maps of this data set'


def _warn_of_classes(dataset, labels, where):
    classes = _classes(dataset)
    if not classes:
        return
    numbers = set(range(max(len(classes), NUM_BINARY)))
    if unknown := sorted(labels - numbers - {dataset.ignore_index}):
        warnings.warn(
            f'{where}: the labels {quoted(unknown)} belong to none of the {len(classes)} classes, whose labels are 0 '
            f'to {len(classes) - 1}. Complete the classes in metainfo, or map the labels with label_map={{...}} of '
            "type='CheckedSegDataset'",
            stacklevel=2,
        )
    missing = [name for label, name in enumerate(classes) if label not in labels]
    if missing and (len(classes) <= FEW_CLASSES or len(classes) - len(missing) < 2):
        warnings.warn(
            f'{where}: no pixel belongs to {len(missing)} of the {len(classes)} classes ({quoted(missing)}). Check the '
            'order of the class names and the numbers in the files, unless these classes are rare',
            stacklevel=2,
        )


def _warn_of_turned_images(samples, loader):
    headers = [(sample, read_header(sample.get('img_path'))) for sample in samples]
    turned = [(sample, header) for sample, header in headers if header and header.is_turned_in_place(loader)]
    if turned:
        sample, header = turned[0]
        warnings.warn(
            f'{sample["img_path"]} is turned or mirrored when it is loaded, by its EXIF orientation '
            f'{header.orientation}, and its label map {sample["seg_map_path"]} is not. This concerns '
            f'{len(turned)} of {len(samples)} images. If the maps were drawn on the stored pixels, load the images by '
            "dict(type='LoadImageFromFile', color_type='color_ignore_orientation')",
            stacklevel=2,
        )


def _classes(dataset):
    return dataset.metainfo.get('classes') or ()
