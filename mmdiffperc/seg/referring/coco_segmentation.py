"""Draw COCO segmentations after checking them; with a damaged one, pycocotools accesses memory outside its arrays."""

from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from mmdiffperc.files import brief

MIN_POLYGON = 6  # coordinates of three points
FARTHEST = 1e6  # pixels from the corner of the image; pycocotools counts fifths of pixels in 32 bits
LONGEST_OUTLINE = 2e6  # pixels of all polygons of an object; pycocotools keeps five points for each
MOST_DIGITS = 7  # of a run in a compressed code, five bits each


def draw_segmentation(segmentation: list | dict, height: int, width: int) -> np.ndarray:
    """Draw a COCO segmentation.

    Args:
        segmentation (list | dict): Polygons ``[[x0, y0, x1, y1, ...], ...]``, whose union is the object, or a
            run-length code, compressed or not. Polygons of fewer than three points are ignored.
        height (int): Height of the image.
        width (int): Width of the image.

    Returns:
        np.ndarray: Mask ``(H, W)`` of 0 and 1, uint8.

    Raises:
        ValueError: The segmentation is neither, is damaged, or has another size.
    """
    if isinstance(segmentation, dict):
        return _draw_runs(_read_runs(segmentation, height, width), height, width)
    polygons = _areas(segmentation)
    return coco_mask.decode(coco_mask.merge(coco_mask.frPyObjects(polygons, height, width)))


def check_polygons(segmentation: list | dict, height: int, width: int):
    """Check the polygons of a COCO segmentation; run-length codes are only checked when they are drawn.

    Args:
        segmentation (list | dict): As in :func:`draw_segmentation`.
        height (int): Height of the image.
        width (int): Width of the image.

    Raises:
        ValueError: The polygons are damaged, have no area, lie outside the image, or are in fractions of its size.
    """
    if isinstance(segmentation, dict):
        return
    points = np.concatenate([np.reshape(polygon, (-1, 2)) for polygon in _areas(segmentation)])
    low, high = points.min(0), points.max(0)
    if (low >= (width, height)).any() or (high <= 0).any():
        raise ValueError(
            f'expected polygons in an image of {height} x {width} (height x width), got x from {low[0]:g} to '
            f'{high[0]:g} and y from {low[1]:g} to {high[1]:g}'
        )
    if low.min() >= 0 and high.max() <= 1 and min(height, width) > 1:
        raise ValueError(
            f'expected polygons in pixels, got numbers from {low.min():g} to {high.max():g}. If these are fractions of '
            'the image size, multiply them by its width and height'
        )


def _draw_runs(runs, height, width):
    """Fill the columns of the image one after the other with alternating runs of 0 and 1."""
    return np.repeat(np.arange(len(runs), dtype=np.uint8) % 2, runs).reshape(width, height).T


def _read_runs(segmentation: dict, height: int, width: int) -> np.ndarray:
    """Return the lengths of the runs, whose sum is the number of pixels."""
    if segmentation.get('size') != [height, width]:
        raise ValueError(f'expected a run-length code of size {[height, width]}, got {brief(segmentation.get("size"))}')
    counts, total = segmentation.get('counts'), height * width
    if isinstance(counts, (str, bytes)):
        runs = _decompress(counts)
    elif isinstance(counts, list) and all(type(count) is int and 0 <= count <= total for count in counts):
        runs = np.array(counts, np.int64)
    else:
        raise ValueError(f'expected counts as a string or a list of whole numbers of pixels, got {brief(counts)}')
    if runs.min(initial=0) < 0 or runs.max(initial=0) > total:
        raise ValueError(f'expected runs of 0 to {total} pixels, got {runs.min()} to {runs.max()}')
    if runs.sum() != total:
        raise ValueError(f'expected runs of {total} pixels in all, got {runs.sum()}')
    return runs


def _decompress(counts: str | bytes) -> np.ndarray:
    """Decode COCO's strings: numbers with digits of five bits, which from the third number on are differences.

    A character is 48 plus the digit, plus 32 if another digit follows; the lowest digit comes first, and the highest
    bit of the last digit is the sign. A difference is the length of a run minus the length of the run before the
    previous one.
    """
    encoded = counts.encode(errors='surrogatepass') if isinstance(counts, str) else counts
    codes = np.frombuffer(encoded, np.uint8).astype(np.int64) - 48
    is_last = codes < 32
    starts = np.flatnonzero(np.r_[True, is_last[:-1]])
    places = np.arange(len(codes)) - np.repeat(starts, np.diff(np.r_[starts, len(codes)]))
    if not len(codes) or codes.min() < 0 or codes.max() > 63 or not is_last[-1] or places.max() >= MOST_DIGITS:
        raise ValueError(f"expected COCO's compressed run-length code, got {brief(counts)}")
    runs = np.add.reduceat((codes & 31) << 5 * places, starts)
    runs -= np.where(codes[is_last] & 16, 32 << 5 * places[is_last], 0)
    for first in (1, 2):
        runs[first::2] = runs[first::2].cumsum()
    return runs


def _areas(polygons: Any) -> list[list[float]]:
    """Return the polygons that have an area; COCO has some without, and four numbers would be read as a box."""
    if not isinstance(polygons, list) or not all(isinstance(polygon, list) for polygon in polygons):
        raise ValueError(f'expected polygons [[x0, y0, x1, y1, ...], ...] or a run-length code, got {brief(polygons)}')
    for polygon in polygons:
        # NaN and infinity are also out of bounds.
        if len(polygon) % 2 or not all(type(x) in (int, float) and -FARTHEST <= x <= FARTHEST for x in polygon):
            raise ValueError(
                f'expected polygons of points x, y, at most {FARTHEST:g} pixels from the corner of the image, got '
                f'{brief(polygon)}'
            )
    areas = [polygon for polygon in polygons if len(polygon) >= MIN_POLYGON]
    if not areas:
        raise ValueError(f'expected polygons of at least three points [x0, y0, x1, y1, ...], got {brief(polygons)}')
    if (length := sum(map(_outline, areas))) > LONGEST_OUTLINE:
        raise ValueError(f'expected polygons with an outline of at most {LONGEST_OUTLINE:g} pixels, got {length:g}')
    return areas


def _outline(polygon):
    """Return the length of the outline, in steps along an axis."""
    points = np.reshape(polygon, (-1, 2))
    return np.abs(points - np.roll(points, 1, axis=0)).max(1).sum()
