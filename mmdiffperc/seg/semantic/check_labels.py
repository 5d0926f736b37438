"""Data transforms."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from PIL import Image

from mmdiffperc.validation import Label, PositiveInt, validated

# Pillow's names of pixels that hold more than the 8 bits which mmseg keeps.
WIDE_MODES = ('I', 'F', 'I;16', 'I;16L', 'I;16B', 'I;16N')
HIGHEST_BYTE = 255
# Label or depth maps that are judged together when a data set is built.


@TRANSFORMS.register_module()
@validated
class CheckLabels(BaseTransform):
    """Refuse a segmentation map that spoils training or evaluation without any error.

    A label that no class has is an index out of range inside the loss, or a device-side assertion that names nothing. A
    map of another size than its image is resized with it, and its labels then belong to other pixels.

    Place it right after ``LoadAnnotations``. The image may have been resized before, as mmseg does in testing: its
    original size counts.

    Required keys: none. Without ``gt_seg_map``, as when a test pipeline runs on your own image, it does nothing. For
    the size, ``ori_shape``; for the message, ``seg_map_path`` and ``img_path``.

    Args:
        num_classes (int): Labels are 0 to ``num_classes - 1``.
        ignore_index (int): The one other label allowed. Defaults to 255.

    Raises:
        ValueError: Another label occurs, the map has several channels, differs in size from its image, or is a local
            file with numbers above 255, which mmseg would cut to 8 bits. The message names the file.
    """

    def __init__(self, num_classes: PositiveInt, ignore_index: Label = 255):
        self.num_classes = num_classes
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Return ``results`` unchanged."""
        if 'gt_seg_map' in results:
            check_channels(results)
            if 'ori_shape' in results:
                check_size(results, [tuple(results['ori_shape'])])
            check_bits(results)
            self._check_labels(results)
        return results

    def _check_labels(self, results):
        labels = occurring_labels(results['gt_seg_map'])
        beyond = labels[((labels < 0) | (labels >= self.num_classes)) & (labels != self.ignore_index)]
        if len(beyond):
            raise ValueError(
                f'{results.get("seg_map_path")}: labels {beyond.tolist()[:10]}, but there are {self.num_classes} '
                f'classes (0 to {self.num_classes - 1}; {self.ignore_index} is ignored). Check num_classes and '
                "reduce_zero_label, or use the data set type='CheckedSegDataset' and map the labels with its "
                'label_map={...}'
            )


def occurring_labels(labels: np.ndarray) -> np.ndarray:
    """Return the different labels of a map, in ascending order."""
    if labels.dtype != np.uint8:
        return np.unique(labels)
    occurs = np.zeros(HIGHEST_BYTE + 1, bool)  # ten times as fast as sorting all pixels
    occurs[labels] = True
    return np.flatnonzero(occurs)


def check_channels(results: dict):
    """Check that a segmentation map has one channel.

    Args:
        results (dict): With ``gt_seg_map``; for the message, ``seg_map_path`` and ``img_path``.

    Raises:
        ValueError: It has several.
    """
    shape = results['gt_seg_map'].shape
    if len(shape) != 2:
        raise ValueError(
            f'{results.get("seg_map_path")}: expected a label map of one channel, got shape {shape} for the image '
            f'{results.get("img_path")}. Save the number of the class at each pixel, not its colour; of a map with '
            'equal channels, or with an alpha channel, keep the first channel'
        )


def check_size(results: dict, sizes: Sequence[tuple[int, int]]):
    """Check that a segmentation map has the size of its image.

    Args:
        results (dict): With ``gt_seg_map``; for the message, ``seg_map_path`` and ``img_path``.
        sizes (Sequence[tuple[int, int]]): Heights and widths that the loaded image may have.

    Raises:
        ValueError: It has another size.
    """
    shape = results['gt_seg_map'].shape
    if shape not in sizes:
        raise ValueError(
            f'{results.get("seg_map_path")}: label map of {shape} (height, width) for an image of {sizes[0]}, '
            f'{results.get("img_path")}. {size_advice(shape, sizes[0])}'
        )


def size_advice(shape: tuple[int, ...], size: tuple[int, int]) -> str:
    """Return what to do about a map of this shape for an image of this height and width."""
    if shape != size[::-1]:
        return 'Check that the two belong together, and check the map right after it is loaded, before it is resized'
    return (
        'The image may have been turned by its EXIF orientation after the map was drawn: load it with '
        "dict(type='LoadImageFromFile', color_type='color_ignore_orientation'), or turn the map"
    )


def check_bits(results: dict):
    """Check that a local label map loses nothing when mmseg cuts it to 8 bits.

    Args:
        results (dict): With ``seg_map_path``, if there is a file, and ``img_path`` for the message. A file that is not
            on this machine is not checked.

    Raises:
        ValueError: It holds numbers above 255, or below 0.
    """
    path = results.get('seg_map_path')
    if not path or not Path(path).is_file():
        return
    try:
        with Image.open(path) as image:  # reads no more than the header
            if image.mode not in WIDE_MODES:
                return
            lowest, highest = image.getextrema()
    except (OSError, SyntaxError):  # the loader says so
        return
    if lowest < 0 or highest > HIGHEST_BYTE:
        raise ValueError(
            f'{path}: labels from {lowest} to {highest}, of which mmseg keeps 8 bits. Save the map as an 8-bit image '
            f'with labels from 0 to 255. Its image is {results.get("img_path")}'
        )
