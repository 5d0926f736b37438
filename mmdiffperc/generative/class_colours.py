"""Classes as colours, and colours as classes."""

from collections.abc import Sequence
from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from mmdiffperc.registry import find_dataset
from mmdiffperc.validation import Expected, Listed, Text

# The classes of ADE20K in bedrooms with which DMP is evaluated, and the colours of its second palette, which lie
# further apart than those of ADE20K.
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


def resolve_palette(palette: str | Sequence[Sequence[int]]) -> np.ndarray:
    """Return the colours of classes.

    Args:
        palette (str | Sequence): ``'ade20k'`` or ``'ade20k_bedroom'``, the first and the second palette of DMP (the
            colours are mmseg's, which must be installed); a registered dataset, whose ``METAINFO`` has a palette; or
            RGB colours.

    Returns:
        np.ndarray: RGB ``(K, 3)``, 8 bits.

    Raises:
        ValueError: Nobody knows that name, or the dataset has no palette.
    """
    if not isinstance(palette, str):
        return np.array(palette, np.uint8).reshape(-1, 3)
    if palette in ('ade20k', 'ade20k_bedroom'):
        from mmseg.utils import get_palette  # the colours are mmseg's; the core needs no host otherwise

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
    """Paint classes ``(H, W)`` in RGB ``(H, W, 3)``; what is no class, such as 255, becomes black."""
    known = labels < len(palette)
    return np.where(known[..., None], palette[np.where(known, labels, 0)], np.uint8(0))


def colours_to_classes(image: np.ndarray, palette: np.ndarray, classes: Sequence[int] | None = None) -> np.ndarray:
    """Return the class of the nearest colour, at each pixel.

    Nearest in OpenCV's 8-bit Lab, as the official code of DMP has it.

    Args:
        image (np.ndarray): RGB ``(H, W, 3)``, 8 bits.
        palette (np.ndarray): RGB ``(K, 3)``, 8 bits.
        classes (Sequence[int], optional): Only these keep their colour. All others become black, of which the first
            stands for whatever is nearer to black than to these. Default: all.

    Returns:
        np.ndarray: Classes ``(H, W)``; of several with the same colour, the first.
    """
    if classes is not None:
        others = np.setdiff1d(np.arange(len(palette)), classes)
        palette = palette.copy()
        palette[others] = BLACK
    colours, places = np.unique(image.reshape(-1, 3), axis=0, return_inverse=True)
    a, b = to_lab(colours), to_lab(palette)
    distances = (a**2).sum(1)[:, None] - 2 * a @ b.T + (b**2).sum(1)  # small integers, exact in single precision
    return distances.argmin(1)[places.reshape(image.shape[:2])]


def to_lab(colours: np.ndarray) -> np.ndarray:
    """Return OpenCV's 8-bit Lab of RGB colours ``(N, 3)``, as single-precision numbers."""
    return cv2.cvtColor(colours[None], cv2.COLOR_RGB2Lab)[0].astype(np.float32)
