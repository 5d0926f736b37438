"""Checks of depth maps: one by one in the pipeline, and 50 together when a data set is built.

They find a wrong unit or range, too few bits, and a value for pixels that were not measured.
"""

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from mmdiffperc.files import spread
from mmdiffperc.inference.image_headers import image_loader, read_header
from mmdiffperc.seg.semantic.check_labels import size_advice, warn_of_turned_images
from mmdiffperc.validation import PositiveFloat, validated

# Metres per unit of common depth files, the coarsest first.
UNITS = {1 / 256: "KITTI's 1/256 m", 1e-3: 'millimetres', 2e-4: "TUM's 0.2 mm", 1e-4: '0.1 mm'}
HIGHEST_BYTE = 255
# The highest numbers of 16 bits, unsigned and signed, and the second highest. They are hardly ever a depth.
MARKS = (65535, 65534, 32767)
# If numbers up to 255 end below this share of the range, they have too few bits; likewise in a file of 8 bits.
NEAR, NEAR_IN_8_BITS = 0.1, 0.25
SHORTEST_RANGE = 4.0  # metres; assumed without CheckDepth
# Shares of the measured pixels beyond the range that show a fault: of all values, and of a single value.
SHARE_BEYOND, SHARE_CONSTANT = 0.1, 1e-3
# A value that marks pixels is far from all others, which stay below this share of it.
ALONE = 0.9
# If a larger share is beyond the range, the unit is a likelier cause than deep scenes.
MOST = 0.5
ROUNDING = 1 + 1e-5  # of factors with six digits in a config


@TRANSFORMS.register_module()
@validated
class CheckDepth(BaseTransform):
    """Refuse a depth map that does not match its image, and warn of depth that is probably not in metres.

    Place it right after the map's loader. The map is compared with the original size of the image, because mmseg
    resizes images before it loads maps for testing. Each copy of the transform warns once about each of these faults:

    - All depth is greater than ``max_depth``: the unit is wrong. The evaluation would ignore every pixel, and the loss
      would saturate the sigmoid of the network.
    - Many pixels have 65535, 65534 or 32767 in the file, or another value greater than ``max_depth`` and far from all
      others: the value marks pixels that were not measured. The loss would learn it as a depth.
    - More than a tenth of the measured pixels are greater than ``max_depth``.
    - No number in the file exceeds 255, so that even the greatest depth is within a tenth of ``max_depth``, or within a
      quarter of it if the file has 8 bits: an 8-bit map was loaded with the unit of a 16-bit map.

    Depth that is not finite counts as not measured. When a data set is built, each of these faults of 50 maps together
    is an error, see :func:`.judge_depth`.

    Required keys: ``ori_shape``. Without ``gt_depth_map``, as when a test pipeline runs on your own image, it does
    nothing.

    Args:
        max_depth (float): Upper end of the range in metres, as in the head.

    Raises:
        ValueError: The depth map has several channels, or differs in size from the image.
    """

    def __init__(self, max_depth: PositiveFloat):
        self.max_depth = max_depth
        self._warned = set()

    def transform(self, results: dict) -> dict:
        """Return ``results`` unchanged."""
        if 'gt_depth_map' not in results:
            return results
        size, depth = tuple(results['ori_shape']), results['gt_depth_map']
        path, image = results.get('depth_map_path'), results.get('img_path')
        if depth.shape != size:
            raise ValueError(
                f'{path}: depth map of shape {depth.shape} for an image of {size} (height, width), {image}. A depth '
                f'map has one channel. {size_advice(depth.shape, size)}'
            )
        factor, found = results.get('depth_rescale_factor', 1.0), measured(depth)
        # Most maps exceed a byte, so their headers need not be read.
        few_bits = found.size and fits_byte(found.max(), factor) and _has_8_bits(path)
        fault = find_fault(found, factor, self.max_depth, few_bits)
        if fault and fault.kind not in self._warned:
            self._warned.add(fault.kind)
            warnings.warn(f'{path}, depth of {image}: {fault.text}', stacklevel=2)
        return results


class DepthFault(NamedTuple):
    """What is probably wrong with depth.

    Args:
        kind (str): 'unit', 'mark' (a value for pixels that were not measured), 'range', 'bits' or 'empty'.
        text (str): What was found, and what to do.
    """

    kind: str
    text: str


def measured(depth: np.ndarray) -> np.ndarray:
    """Return the depth of the pixels that were measured."""
    return depth[(depth > 0) & np.isfinite(depth)]


def find_fault(
    depth: np.ndarray, factor: float, max_depth: float = math.inf, has_8_bits: bool = False
) -> DepthFault | None:
    """Return the most serious fault of depth, or None.

    Args:
        depth (np.ndarray): Measured depth in metres, of any shape.
        factor (float): Metres per unit of the file.
        max_depth (float): Upper end of the range in metres. Default: any depth is possible.
        has_8_bits (bool): Whether the files have 8 bits. Defaults to False.
    """
    if not depth.size:
        return None
    limit = max_depth * ROUNDING
    marks, rest = _split_marks(depth, factor, limit)
    share_beyond = (rest > limit).mean() if rest.size else 0
    if share_beyond == 1:
        return DepthFault('unit', _wrong_unit(rest, factor, max_depth))
    if marks:
        return DepthFault('mark', _marked(marks, 1 - rest.size / depth.size, factor))
    if share_beyond > SHARE_BEYOND:
        return DepthFault('range', _beyond(rest, share_beyond, factor, max_depth))
    near = (NEAR_IN_8_BITS if has_8_bits else NEAR) * (max_depth if math.isfinite(max_depth) else SHORTEST_RANGE)
    if fits_byte(rest.max(), factor) and HIGHEST_BYTE * factor < near:
        return DepthFault('bits', _few_bits(factor, max_depth))
    return None


def fits_byte(farthest: float, factor: float) -> bool:
    """Return whether the farthest depth is at most 255 in the file."""
    return farthest <= HIGHEST_BYTE * factor * ROUNDING


def _split_marks(depth, factor, limit):
    """Return the values that mark pixels, and the depth of all other pixels."""
    marks, rest, enough = [], depth, SHARE_CONSTANT * depth.size
    for number in MARKS:
        if rest.size and rest.max() > (number - 0.5) * factor:
            others = rest[np.abs(rest - number * factor) > factor / 2]
            if rest.size - others.size > enough:
                marks, rest = [*marks, number * factor], others
    farthest = rest.max(initial=0)
    if not marks and ALONE * farthest > limit:
        others = rest[rest < farthest]
        second = others.max(initial=0)
        if 0 < second and (second <= limit or second < ALONE * farthest) and rest.size - others.size > enough:
            marks, rest = [*marks, farthest], others
    return marks, rest


def _likely_unit(depth, factor, max_depth):
    far = np.percentile(depth, 95) / factor  # a few pixels of any file are wrong
    # The coarsest that fits: with finer units, the whole scene would be right in front of the camera.
    unit = next((unit for unit in UNITS if far * unit < max_depth), None)
    return f'{unit:.6g}, for {UNITS[unit]}' if unit else 'none of the common ones'


def _wrong_unit(depth, factor, max_depth):
    return (
        f'all depth lies beyond max_depth = {max_depth}, from {depth.min():.6g} to {depth.max():.6g}, so its unit is '
        'probably not the metre. Likely depth_rescale_factor of LoadDepthAnnotation: '
        f'{_likely_unit(depth, factor, max_depth)}'
    )


def _marked(marks, share, factor):
    numbers = ' or '.join(f'{value / factor:.6g}' for value in marks)
    metres = ' or '.join(f'{value:.6g}' for value in marks)
    return (
        f'{share:.2%} of the depth is {numbers} in the file, {metres} m. It probably marks pixels that were '
        'not measured: write 0 there, before the maps are resized'
    )


def _beyond(depth, share, factor, max_depth):
    likely = f' (likely {_likely_unit(depth, factor, max_depth)})' if share > MOST else ''
    return (
        f'{share:.0%} of the depth lies beyond max_depth = {max_depth}, up to {depth.max():.6g}. If the scenes are '
        'really that deep, raise max_depth of the head, of CheckDepth and of the metric, or write 0 where the depth '
        f'does not matter. If the unit is wrong, set depth_rescale_factor of LoadDepthAnnotation{likely}. If the maps '
        'were resized with a value for pixels that were not measured, write 0 there and resize again with nearest '
        'neighbours'
    )


def _few_bits(factor, max_depth):
    farthest = max_depth if math.isfinite(max_depth) else 10.0
    return (
        f'no number in the file exceeds {HIGHEST_BYTE}, so all depth lies within {HIGHEST_BYTE * factor:.6g} m. An '
        f'8-bit map is unlikely to have the unit of depth_rescale_factor = {factor:.6g}: set '
        f'{farthest / HIGHEST_BYTE:.6g} if {HIGHEST_BYTE} stands for {farthest:g} m, or get the map with 16 '
        'bits. If the scenes are really that near, lower max_depth of the head, of CheckDepth and of the metric'
    )


def judge_depth(samples: Sequence[dict], transforms: Iterable[Any]):
    """Check 50 depth maps of a data set together, because a single one may be an exception.

    The pipeline defines how the maps are loaded, and :class:`.CheckDepth` in it their range. If no transform loads
    depth, nothing is checked; without :class:`.CheckDepth`, the range is not checked.

    A warning is given if images are turned by their EXIF orientation without changing their size, because depth maps
    are not turned.

    Args:
        samples (Sequence[dict]): Samples with ``depth_map_path`` and ``img_path``.
        transforms (Iterable[Any]): The pipeline of the data set.

    Raises:
        ValueError: A map cannot be read or has several channels, or no pixel was measured. Several maps have another
            unit, a value for pixels that were not measured, or 8 bits with the unit of 16 bits, or more than a tenth of
            the depth is beyond the range.
    """
    transforms = list(transforms)
    loader = next((one for one in transforms if hasattr(one, 'depth_rescale_factor')), None)
    check = next((one for one in transforms if isinstance(one, CheckDepth)), None)
    judged = spread(samples)
    if not loader or not judged:
        return
    warn_of_turned_images(judged, image_loader(transforms), 'depth_map_path')
    maps = {sample['depth_map_path']: measured(_load(loader, sample['depth_map_path'])) for sample in judged}
    if fault := _fault_of_all(maps, loader.depth_rescale_factor, check.max_depth if check else math.inf):
        first, others = next(iter(maps)), len(maps) - 1
        raise ValueError(f'{first}{f" and {others} more depth maps" if others else ""}: {fault.text}')


def _fault_of_all(maps, factor, max_depth):
    depth = np.concatenate(list(maps.values()))
    if not depth.size:
        return DepthFault('empty', 'no pixel has a depth above 0, so nothing can be learnt or compared')
    if len(maps) == 1:
        return None
    with_8_bits = [path for path, found in maps.items() if found.size and _has_8_bits(path)]
    if 0 < len(with_8_bits) < sum(found.size > 0 for found in maps.values()):
        return DepthFault(
            'bits',
            f'{len(with_8_bits)} of them have 8 bits, such as {with_8_bits[0]}, and the others have more. '
            'No depth_rescale_factor is right for both: get these maps with 16 bits',
        )
    return find_fault(depth, factor, max_depth, bool(with_8_bits))


def _has_8_bits(path):
    header = read_header(path) if path else None
    return header is not None and header.has_8_bits


def _load(loader, path):
    try:
        depth = loader.transform(dict(depth_map_path=path, seg_fields=[]))['gt_depth_map']
    except (AttributeError, TypeError) as error:  # OpenCV returns None instead of an image
        raise ValueError(f'{path}: empty, damaged, or not a depth map; get the file again') from error
    if depth.ndim != 2:
        raise ValueError(f'{path}: depth map of shape {depth.shape}, expected one channel')
    return depth
