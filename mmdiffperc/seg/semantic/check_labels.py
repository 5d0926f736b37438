"""Checks of label maps: one by one in the pipeline, and 50 together when a data set is built.

A single map may well lack most classes, so some mistakes only show in many maps.
"""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmengine.dataset import BaseDataset
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import TRANSFORMS
from PIL import Image

from mmdiffperc.files import quoted, spread
from mmdiffperc.inference.image_headers import image_loader, raw_pixels_option, read_header
from mmdiffperc.validation import Label, PositiveInt, validated

from .checked_seg_dataset import CheckedSegDataset

# Pillow's modes with more than the 8 bits that mmseg keeps.
WIDE_MODES = ('I', 'F', 'I;16', 'I;16L', 'I;16B', 'I;16N')
HIGHEST_BYTE = 255
# Of more classes, some are usually too rare to occur in 50 maps.
FEW_CLASSES = 10
# Share of the maps with any label but 0 from which on maps without a class are worth a warning.
SHARE_IGNORED = 0.5
NUM_BINARY = 2  # a head with one output channel separates labels 0 and 1, even if only one class has a name
RAW_PIXELS = "color_type='color_ignore_orientation'"


@TRANSFORMS.register_module()
@validated
class CheckLabels(BaseTransform):
    """Refuse a label map that would spoil training or evaluation without an error.

    A label without a class is an index out of range in the loss, or a device-side assertion that names nothing. A map
    that differs in size from its image is resized with it, and its labels then belong to other pixels.

    Place it right after ``LoadAnnotations``. The map is compared with the original size of the image, because mmseg
    resizes images before it loads maps for testing.

    Required keys: none. Without ``gt_seg_map``, as when a test pipeline runs on your own image, it does nothing. It
    uses ``ori_shape`` for the size, and ``seg_map_path`` and ``img_path`` for the message.

    Args:
        num_classes (int): Labels are 0 to ``num_classes - 1``.
        ignore_index (int): The only other label that is allowed. Defaults to 255.

    Raises:
        ValueError: The map has another label, has several channels, differs in size from its image, or is a local file
            with numbers above 255, which mmseg would cut to 8 bits. The message names the file.
    """

    def __init__(self, num_classes: PositiveInt, ignore_index: Label = 255):
        self.num_classes = num_classes
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Return ``results`` unchanged."""
        if 'gt_seg_map' in results:
            sizes = [tuple(results['ori_shape'])] if 'ori_shape' in results else None
            _check_map(results, sizes)
            self._check_labels(results)
        return results

    def _check_labels(self, results):
        labels = results['gt_seg_map']
        # Comparisons of whole maps, which take a tenth of the time of finding the different labels.
        beyond = ((labels < 0) | (labels >= self.num_classes)) & (labels != self.ignore_index)
        if beyond.any():
            raise ValueError(
                f'{results.get("seg_map_path")}: labels {np.unique(labels[beyond]).tolist()[:10]}, but there are '
                f'{self.num_classes} classes (0 to {self.num_classes - 1}; {self.ignore_index} is ignored). Check '
                "num_classes and reduce_zero_label, or use the data set type='CheckedSegDataset' and map the labels "
                'with its label_map={...}'
            )


def occurring_labels(labels: np.ndarray) -> np.ndarray:
    """Return the different labels of a map, in ascending order."""
    if labels.dtype != np.uint8:
        return np.unique(labels)
    pixels = Image.fromarray(labels.reshape(len(labels), -1))
    return np.flatnonzero(pixels.histogram())  # much faster than sorting all pixels


def size_advice(shape: tuple[int, ...], size: tuple[int, int]) -> str:
    """Return what to do about a map of this shape for an image of this height and width."""
    if shape != size[::-1]:
        return 'Check that the two belong together, and check the map right after it is loaded, before it is resized'
    return (
        'The image may have been turned by its EXIF orientation after the map was drawn: add '
        f'{RAW_PIXELS} to its loader, or turn the map'
    )


def warn_of_turned_images(samples: Sequence[dict], loader: Any, map_key: str):
    """Warn if images are turned or mirrored when they are loaded without changing their size; maps are not turned.

    Args:
        samples (Sequence[dict]): Samples with ``img_path`` and the path of a map.
        loader (Any): The transform that loads the images; None without one.
        map_key (str): The key of the map's path.
    """
    headers = [(sample, read_header(sample.get('img_path'))) for sample in samples]
    turned = [(sample, header) for sample, header in headers if header and header.is_turned_in_place(loader)]
    if turned:
        sample, header = turned[0]
        warnings.warn(
            f'{sample["img_path"]} is turned or mirrored when it is loaded, by its EXIF orientation '
            f'{header.orientation}, and its map {sample[map_key]} is not, as in {len(turned)} of {len(samples)} '
            'samples. If the maps match the stored pixels, load the images with '
            f'{raw_pixels_option(loader) if loader else RAW_PIXELS}',
            stacklevel=2,
        )


def _check_map(results: dict, sizes: Sequence[tuple[int, int]] | None):
    """Check the channels, the size and the bits of a loaded map; of the size only if ``sizes`` are known."""
    path, image, shape = results.get('seg_map_path'), results.get('img_path'), results['gt_seg_map'].shape
    if len(shape) != 2:
        raise ValueError(
            f'{path}: expected a label map of one channel, got shape {shape} for the image {image}. Save the number of '
            'the class at each pixel, not its colour; keep only the first channel of a map with equal channels or an '
            'alpha channel'
        )
    if sizes and shape not in sizes:
        raise ValueError(
            f'{path}: label map of {shape} (height, width) for an image of {sizes[0]}, {image}. '
            f'{size_advice(shape, sizes[0])}'
        )
    if path and Path(path).is_file():
        _check_bits(path, image)


def _check_bits(path, image):
    """Check that a local label map loses nothing when mmseg cuts it to 8 bits."""
    try:
        with Image.open(path) as header:
            if header.mode not in WIDE_MODES:
                return
            lowest, highest = header.getextrema()
    except (OSError, SyntaxError):  # the loader reports it
        return
    if lowest < 0 or highest > HIGHEST_BYTE:
        raise ValueError(
            f'{path}: labels from {lowest} to {highest}, of which mmseg keeps 8 bits. Save the map as an 8-bit image '
            f'with labels from 0 to 255. Its image is {image}'
        )


def judge_label_maps(dataset: BaseDataset, loader: LoadAnnotations, transforms: Sequence[Any] = ()):
    """Check 50 label maps of a data set together, and each of them unless the pipeline does.

    Warnings report labels without a class, and classes that never occur; with more than 10 classes, only if at most one
    occurs. They also report if half of the maps contain only 0 and the ignored label, and if the EXIF orientation turns
    or mirrors images without changing their size, because label maps are not turned.

    Args:
        dataset (BaseDataset): A data set of mmseg. Samples without ``seg_map_path`` are left out.
        loader (LoadAnnotations): The transform of mmseg that loads the maps.
        transforms (Sequence[Any]): The pipeline of the data set. Its image loader decides whether the EXIF orientation
            turns images; if it has :class:`.CheckLabels`, each map is checked later.

    Raises:
        ValueError: A map cannot be read. Several maps contain no labels but 0 and the ignored one, or with
            ``reduce_zero_label`` only the ignored one. Without :class:`.CheckLabels`, also: a map has several channels,
            differs in size from its image, or has numbers above 255.
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
            header = read_header(loaded.get('img_path'))
            _check_map(loaded, header and header.sizes(loader_of_images))
        stored.append(set(occurring_labels(loaded['gt_seg_map']).tolist()))
        # Mapping the few labels instead of all pixels saves time: Mapillary has large maps and a long list.
        label_map = sample.get('label_map') or {}
        mapped.append({label_map.get(label, label) for label in stored[-1]})
    where = _name(samples)
    # Both together, because a data set may use a few classes of many, and ignore all others.
    _check_ignored(dataset, [one | other for one, other in zip(stored, mapped, strict=True)], where)
    _warn_of_classes(dataset, set().union(*mapped), where)
    warn_of_turned_images(samples, loader_of_images, 'seg_map_path')


def _load(sample, loader):
    try:
        return loader.transform(sample | dict(label_map=None, seg_fields=[]))
    except (OSError, SyntaxError, AttributeError) as error:  # from Pillow, or OpenCV's None; they name no file
        raise ValueError(f'{sample["seg_map_path"]}: empty, damaged, or not a label map; get the file again') from error


def _name(samples: Sequence[dict]) -> str:
    first, others = samples[0]['seg_map_path'], len(samples) - 1
    return f'{first} and {others} more label map{"s" * (others > 1)}' if others else first


def _check_ignored(dataset, maps, where):
    labels, ignored = set().union(*maps), dataset.ignore_index
    # If 0 means nothing, label 0 of a loaded map is a class like any other.
    nothing = {ignored} if dataset.reduce_zero_label else {0, ignored}
    num_ignored = sum(ignored in one and one <= nothing for one in maps)
    num_informative = sum(one != {0} for one in maps)
    if num_ignored < 2 or num_ignored < SHARE_IGNORED * num_informative:  # a single map may be correct
        return
    if labels <= nothing:
        found = _describe(dataset, labels)
    else:
        found = f'{num_ignored} contain no labels but {quoted(sorted(nothing))}, and {ignored} is ignored.'
    message = f'{where}: {found} {_advice(dataset)}'
    if labels <= nothing and _is_refused(dataset, labels):
        raise ValueError(message)
    warnings.warn(message, stacklevel=2)


def _is_refused(dataset, labels):
    if labels == {dataset.ignore_index}:
        # The maps of a test split that is not public, such as Cityscapes', contain nothing else.
        return not dataset.test_mode or dataset.reduce_zero_label
    return len(_classes(dataset)) > 1


def _describe(dataset, labels):
    ignored = dataset.ignore_index
    if labels == {ignored}:
        reason = ', because reduce_zero_label=True also ignores 0' if dataset.reduce_zero_label else ''
        return f'the only label left is {ignored}, which is ignored{reason}. No class occurs.'
    return (
        f'the only labels are {sorted(labels)}, and {ignored} is ignored, so at most the first of the classes '
        f'{quoted(_classes(dataset))} occurs.'
    )


def _advice(dataset):
    ignored, name = dataset.ignore_index, type(dataset).__name__
    options = f'{"reduce_zero_label=False, " * dataset.reduce_zero_label}label_map={{{ignored}: 1}}'
    if isinstance(dataset, CheckedSegDataset):
        way = f'set {options} in {name}'
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


def _classes(dataset):
    return dataset.metainfo.get('classes') or ()
