"""Checks of depth maps, one by one in the pipeline and many together when a data set is built."""

import warnings
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from mmdiffperc.validation import PositiveFloat, validated

from .transforms import HIGHEST_BYTE, NUM_JUDGED, size_advice

# Units in a metre of the usual depth files.
UNITS = {256: "KITTI's 1/256 m", 1000: 'millimetres', 5000: "TUM's 0.2 mm"}
# Maps of 8 and 16 bits are told apart by depth that ends below this share of the range.
NEAR = 0.1
# Something is wrong if larger shares of the measured pixels than these are beyond the range: any values, a single one.
SHARE_BEYOND, SHARE_CONSTANT = 0.1, 1e-3
# A value that marks pixels stands alone: all others stay below this share of it.
ALONE = 0.9
ROUNDING = 1 + 1e-5  # of factors that a config has in six digits
# What a few maps may have, and not all of them together.
REFUSED = ('unit', 'mark', 'bits')


class DepthFault(NamedTuple):
    """What is likely wrong with depth.

    Args:
        kind (str): 'unit', 'mark' (of pixels that were not measured), 'range' or 'bits'.
        text (str): What was found, and what to do.
    """

    kind: str
    text: str


@TRANSFORMS.register_module()
@validated
class CheckDepth(BaseTransform):
    """Refuse a depth map that does not belong to its image, and warn about depth that is probably not in metres.

    Place it right after the map's loader. The image may have been resized before, as mmseg does in testing: its
    original size counts. Each copy of the transform warns once of each of these:

    - All depth lies beyond ``max_depth``: the unit is wrong, the evaluation counts no pixel, and the loss drives the
      network into the saturation of its sigmoid.
    - Many pixels have one value beyond ``max_depth``, far from all others, such as 65535 in the file: the value marks
      pixels that were not measured. The loss would learn it as a depth.
    - More than a tenth of the measured pixels lie beyond ``max_depth``.
    - The numbers in the file do not exceed 255, so that even the farthest lies within a tenth of ``max_depth``: a map
      of 8 bits was loaded with the unit of a map of 16 bits.

    Depth that is not finite counts as not measured. For the first 50 maps together, the first, second and fourth are
    errors when a data set is built, see :func:`.judge_depth`.

    Required keys: ``ori_shape``. Without ``gt_depth_map``, as when a test pipeline runs on your own image, it does
    nothing.

    Args:
        max_depth (float): In metres, as in the head.

    Raises:
        ValueError: The depth map is not a map, or differs in size from the image.
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
        fault = find_fault(measured(depth), results.get('depth_rescale_factor', 1.0), self.max_depth)
        if fault and fault.kind not in self._warned:
            self._warned.add(fault.kind)
            warnings.warn(f'{path}, depth of {image}: {fault.text}', stacklevel=2)
        return results


def judge_depth(samples: Sequence[dict], transforms: Iterable[Any]):
    """Check the first 50 depth maps of a data set together, because a single one may be an exception.

    The pipeline says how the maps are loaded, and by :class:`.CheckDepth` which range they should have; without these
    two transforms nothing is checked.

    Args:
        samples (Sequence[dict]): With ``depth_map_path``.
        transforms (Iterable[Any]): The pipeline of the data set.

    Raises:
        ValueError: A map cannot be read; or there are several, and they are in another unit, mark pixels that were not
            measured by a depth, or have 8 bits where the unit is for 16.
    """
    transforms = list(transforms)
    loader = next((one for one in transforms if hasattr(one, 'depth_rescale_factor')), None)
    check = next((one for one in transforms if isinstance(one, CheckDepth)), None)
    judged = samples[:NUM_JUDGED]
    if not loader or not check or len(judged) < 2:
        return
    depth = np.concatenate([measured(_load(loader, sample['depth_map_path'])) for sample in judged])
    if fault := find_fault(depth, loader.depth_rescale_factor, check.max_depth):
        message = f'{judged[0]["depth_map_path"]} and {len(judged) - 1} more depth maps: {fault.text}'
        if fault.kind in REFUSED:
            raise ValueError(message)
        warnings.warn(message, stacklevel=2)


def _load(loader, path):
    try:
        return loader.transform(dict(depth_map_path=path, seg_fields=[]))['gt_depth_map']
    except (AttributeError, TypeError) as error:  # OpenCV gives None instead of an image
        raise ValueError(f'{path}: empty, damaged, or not a depth map; get the file again') from error


def measured(depth: np.ndarray) -> np.ndarray:
    """Return the depth of the pixels that have any."""
    return depth[(depth > 0) & np.isfinite(depth)]


def find_fault(depth: np.ndarray, factor: float, max_depth: float) -> DepthFault | None:
    """Find what is likely wrong with depth, the gravest first.

    Args:
        depth (np.ndarray): Measured depth in metres, of any shape.
        factor (float): Metres in a unit of the file.
        max_depth (float): In metres.
    """
    if not depth.size:
        return None
    limit, farthest = max_depth * ROUNDING, depth.max()
    others = depth[depth < farthest]
    share, rest = 1 - others.size / depth.size, others.max(initial=0)
    is_mark = share > SHARE_CONSTANT and others.size > 0 and (rest <= limit or rest < ALONE * farthest)
    share_beyond = (depth > limit).mean()
    if share_beyond == 1:
        return DepthFault('unit', _wrong_unit(others if is_mark else depth, factor, max_depth))
    if farthest > limit and is_mark:
        return DepthFault('mark', _mark(farthest, share, factor, max_depth))
    if share_beyond > SHARE_BEYOND:
        return DepthFault(
            'range',
            f'{share_beyond:.0%} of the depth lies beyond max_depth = {max_depth}, up to {farthest:.6g}. Raise '
            'max_depth of the head, of CheckDepth and of the metric, or check depth_rescale_factor',
        )
    if farthest <= HIGHEST_BYTE * factor * ROUNDING and HIGHEST_BYTE * factor < NEAR * max_depth:
        return DepthFault('bits', _few_bits(factor, max_depth))
    return None


def _wrong_unit(depth, factor, max_depth):
    far = np.percentile(depth, 95)  # a few pixels of any file are wrong
    # The coarsest that fits: finer ones would put all of the scene right in front of the camera.
    units = next((units for units in UNITS if far / units < max_depth), None)
    likely = f'{factor / units:.6g}, for {UNITS[units]}' if units else 'none of the usual ones'
    return (
        f'all depth lies beyond max_depth = {max_depth}, from {depth.min():.6g} to {depth.max():.6g}, so its unit is '
        f'probably not the metre. Likely depth_rescale_factor of LoadDepthAnnotation: {likely}'
    )


def _mark(value, share, factor, max_depth):
    return (
        f'{share:.2%} of the depth is {value / factor:.6g} in the file, {value:.6g} m, beyond max_depth = {max_depth} '
        'and far from all other depth. It likely marks pixels that were not measured: write 0 there'
    )


def _few_bits(factor, max_depth):
    return (
        f'no number in the file exceeds {HIGHEST_BYTE}, so all depth lies within {HIGHEST_BYTE * factor:.6g} of '
        f'max_depth = {max_depth}. An 8-bit map is unlikely to have the unit depth_rescale_factor = {factor:.6g}: set '
        f'{max_depth / HIGHEST_BYTE:.6g} if {HIGHEST_BYTE} stands for max_depth, or get the 16-bit map'
    )
