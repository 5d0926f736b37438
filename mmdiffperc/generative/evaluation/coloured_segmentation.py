"""Semantic segmentation as an image of colours: palettes, conversion to classes and back, and the metric."""

from collections.abc import Sequence
from typing import Annotated

import cv2
import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from pydantic import Field

from mmdiffperc.evaluation.masks import class_measures, confusion_matrix
from mmdiffperc.registry import METRICS, find_dataset
from mmdiffperc.validation import Expected, Label, Listed, NonNegativeInt, Text, validated

# The classes of ADE20K on which DMP is evaluated in bedrooms, and their colours in its second palette, which are easier
# to tell apart than those of ADE20K.
BEDROOM_COLOURS = {
    0: (120, 120, 120),
    3: (80, 50, 50),
    5: (120, 120, 80),
    7: (251, 128, 114),
    8: (230, 230, 230),
    10: (219, 219, 141),
    14: (247, 182, 210),
    15: (179, 222, 105),
    17: (141, 211, 199),
    18: (255, 237, 111),
    19: (188, 189, 34),
    22: (204, 235, 197),
    27: (23, 190, 207),
    28: (174, 199, 232),
    30: (31, 119, 180),
    36: (252, 205, 229),
    39: (253, 180, 98),
    41: (197, 176, 213),
    44: (196, 156, 148),
    57: (128, 177, 211),
    66: (255, 152, 150),
    67: (227, 119, 194),
    82: (44, 160, 44),
    85: (148, 103, 189),
    97: (152, 223, 138),
    125: (158, 218, 229),
    131: (214, 39, 40),
    134: (255, 127, 14),
    135: (255, 187, 120),
}
BEDROOM_CLASSES = tuple(BEDROOM_COLOURS)
BLACK = 0, 0, 0
Colour = Annotated[Listed[Annotated[int, Field(ge=0, le=255)]], Field(min_length=3, max_length=3)]
Palette = Annotated[
    Text | Listed[Colour], Expected("'ade20k', 'ade20k_bedroom', a data set, or a list of RGB colours from 0 to 255")
]
Classes = Annotated[Listed[NonNegativeInt], Expected('a list of classes, whole numbers of 0 or more')]


@METRICS.register_module()
@validated
class ColouredSegMetric(BaseMetric):
    """mIoU of predicted colours; the class of a pixel is the one with the nearest colour.

    ``aAcc`` is the share of correct pixels. ``mIoU`` and ``mAcc`` are means over classes, computed from the pixels of
    all images; a class that is neither predicted nor true is left out. All are percentages, as in mmseg's
    ``IoUMetric``.

    Args:
        palette (str | Sequence): See :func:`.resolve_palette`.
        classes (Sequence[int], optional): See :func:`.colours_to_classes`.
        ignore_index (int): Label of the true pixels that are ignored. Defaults to 255.
        ignore_black (bool): Ignore true colours that are black, which is how :func:`.classes_to_colours` draws labels
            beyond the palette. Defaults to False.
        per_class (bool): Also report IoU and accuracy of each class. Defaults to False.
        **kwargs: Arguments of mmengine's ``BaseMetric``.

    Raises:
        ValueError: When building: an unknown palette, or classes that it lacks. When evaluating: prediction and truth
            differ in size, or the truth has classes that the palette lacks.
    """

    def __init__(
        self,
        palette: Palette,
        classes: Classes | None = None,
        ignore_index: Label = 255,
        ignore_black: bool = False,
        per_class: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.palette = resolve_palette(palette)
        self.classes = classes
        if missing := [index for index in classes or () if index >= len(self.palette)]:
            raise ValueError(f'classes {missing}: the palette has classes 0 to {len(self.palette) - 1}')
        self.ignore_index = ignore_index
        self.ignore_black = ignore_black
        self.per_class = per_class

    def process(self, data_batch: dict, data_samples: Sequence[dict]):
        """Count the pixels of one batch.

        A sample has ``pred_target``, colours ``(3, H, W)`` in [0, 1], and the true classes, either as ``gt_sem_seg``
        ``(1, H, W)`` or as colours in ``gt_target``.
        """
        self.results += [self._confuse(sample) for sample in data_samples]

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        """Compute the measures from confusion matrices ``(true, predicted)``."""
        return class_measures(sum(results), self.per_class)

    def _confuse(self, sample: dict) -> np.ndarray:
        pred = self._classes_of(sample['pred_target']['data'], self.classes)
        if 'gt_sem_seg' in sample:
            truth = sample['gt_sem_seg']['data'].squeeze(0).long().cpu().numpy()
        else:
            colours = sample['gt_target']['data']
            truth = self._classes_of(colours)
            if self.ignore_black:
                truth[(colours == 0).all(0).cpu().numpy()] = self.ignore_index
        return confusion_matrix(pred, truth, len(self.palette), self.ignore_index, sample.get('img_path'))

    def _classes_of(self, colours: torch.Tensor, classes: Sequence[int] | None = None) -> np.ndarray:
        image = (colours.double() * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        return colours_to_classes(image, self.palette, classes)


def resolve_palette(palette: str | Sequence[Sequence[int]]) -> np.ndarray:
    """Return the colours of classes.

    Args:
        palette (str | Sequence): ``'ade20k'`` or ``'ade20k_bedroom'``, the first and the second palette of DMP, which
            require mmseg; a registered dataset whose ``METAINFO`` has a palette; or RGB colours.

    Returns:
        np.ndarray: RGB ``(K, 3)``, 8 bits.

    Raises:
        ValueError: An unknown name, or a dataset without a palette.
    """
    if not isinstance(palette, str):
        return np.array(palette, np.uint8).reshape(-1, 3)
    if palette in ('ade20k', 'ade20k_bedroom'):
        from mmseg.utils import get_palette  # the only place where this package needs a host

        colours = np.array(get_palette('ade20k'), np.uint8)
        if palette == 'ade20k_bedroom':
            colours[list(BEDROOM_CLASSES)] = list(BEDROOM_COLOURS.values())
        return colours
    colours = getattr(find_dataset(palette), 'METAINFO', {}).get('palette')
    if not colours:
        raise ValueError(
            f"palette={palette!r}: expected 'ade20k', 'ade20k_bedroom', a data set with a palette in its METAINFO, "
            "such as 'mmseg.CityscapesDataset', or a list of RGB colours"
        )
    return np.array(colours, np.uint8)


def classes_to_colours(labels: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """Convert classes ``(H, W)`` to RGB ``(H, W, 3)``; labels beyond the palette, such as 255, become black."""
    known = labels < len(palette)
    return np.where(known[..., None], palette[np.where(known, labels, 0)], np.uint8(0))


def colours_to_classes(image: np.ndarray, palette: np.ndarray, classes: Sequence[int] | None = None) -> np.ndarray:
    """Return the class of the nearest colour, at each pixel.

    Distances are measured in OpenCV's 8-bit Lab, as in the official code of DMP.

    Args:
        image (np.ndarray): RGB ``(H, W, 3)``, 8 bits.
        palette (np.ndarray): RGB ``(K, 3)``, 8 bits.
        classes (Sequence[int], optional): Only these keep their colours. The colours of all others become black, and
            the first of them is returned for pixels that are nearest to black. Default: all.

    Returns:
        np.ndarray: Classes ``(H, W)``; the first of several that have the same colour.
    """
    if classes is not None:
        others = np.setdiff1d(np.arange(len(palette)), classes)
        palette = palette.copy()
        palette[others] = BLACK
    colours, places = np.unique(image.reshape(-1, 3), axis=0, return_inverse=True)
    a, b = (cv2.cvtColor(each[None], cv2.COLOR_RGB2Lab)[0].astype(np.float32) for each in (colours, palette))
    distances = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)  # small integers, exact in single precision
    return distances.argmin(1)[places.reshape(image.shape[:2])]
