"""Checks of depth maps, one by one in the pipeline and many together when a data set is built."""

import math
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from mmdiffperc.files import spread
from mmdiffperc.inference.image_headers import image_loader, raw_pixels_option, read_header
from mmdiffperc.seg.semantic.check_labels import size_advice
from mmdiffperc.validation import PositiveFloat, validated

from .depth_faults import DepthFault, find_fault, fits_byte, measured


@TRANSFORMS.register_module()
@validated
class CheckDepth(BaseTransform):
    """Refuse a depth map that does not belong to its image, and warn about depth that is probably not in metres.

    Place it right after the map's loader. The image may have been resized before, as mmseg does in testing: its
    original size counts. Each copy of the transform warns once of each of these:

    - All depth lies beyond ``max_depth``: the unit is wrong, the evaluation counts no pixel, and the loss drives the
      network into the saturation of its sigmoid.
    - Many pixels have 65535, 65534 or 32767 in the file, or another value beyond ``max_depth`` and far from all others:
      the value marks pixels that were not measured. The loss would learn it as a depth.
    - More than a tenth of the measured pixels lie beyond ``max_depth``.
    - The numbers in the file do not exceed 255, so that even the farthest lies within a tenth of ``max_depth``, or
      within a quarter of it if the file has 8 bits: a map of 8 bits was loaded with the unit of a map of 16 bits.

    Depth that is not finite counts as not measured. For 50 maps together, each of these is an error when a
    data set is built, see :func:`.judge_depth`.

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
        factor, found = results.get('depth_rescale_factor', 1.0), measured(depth)
        # Most maps exceed a byte, which saves reading their header.
        few_bits = found.size and fits_byte(found.max(), factor) and _has_8_bits(path)
        fault = find_fault(found, factor, self.max_depth, few_bits)
        if fault and fault.kind not in self._warned:
            self._warned.add(fault.kind)
            warnings.warn(f'{path}, depth of {image}: {fault.text}', stacklevel=2)
        return results


def judge_depth(samples: Sequence[dict], transforms: Iterable[Any]):
    """Check 50 depth maps of a data set together, because a single one may be an exception.

    The pipeline says how the maps are loaded, and by :class:`.CheckDepth` which range they should have. Where nothing
    loads depth, nothing is checked; without :class:`.CheckDepth`, no range.

    A warning says that images are turned by their EXIF orientation without a change of the size. Depth maps are loaded
    as they are stored.

    Args:
        samples (Sequence[dict]): With ``depth_map_path`` and ``img_path``.
        transforms (Iterable[Any]): The pipeline of the data set.

    Raises:
        ValueError: A map cannot be read or has several channels, or no pixel was measured; or there are several maps,
            and they are in another unit, mark pixels that were not measured by a depth, have 8 bits where the unit is
            for 16, or more than a tenth of the depth is beyond the range.
    """
    transforms = list(transforms)
    loader = next((one for one in transforms if hasattr(one, 'depth_rescale_factor')), None)
    check = next((one for one in transforms if isinstance(one, CheckDepth)), None)
    judged = spread(samples)
    if not loader or not judged:
        return
    _warn_of_turned_images(judged, image_loader(transforms))
    maps = {sample['depth_map_path']: measured(_load(loader, sample['depth_map_path'])) for sample in judged}
    if fault := _fault_of_all(maps, loader.depth_rescale_factor, check.max_depth if check else math.inf):
        first, others = next(iter(maps)), len(maps) - 1
        raise ValueError(f'{first}{f" and {others} more depth maps" if others else ""}: {fault.text}')


def _fault_of_all(maps, factor, max_depth):
    depth = np.concatenate(list(maps.values()))
    if not depth.size:
        return DepthFault('empty', 'no pixel has a depth above 0, so there is nothing to learn or to compare')
    if len(maps) == 1:
        return None
    with_8_bits = [path for path, found in maps.items() if found.size and _has_8_bits(path)]
    if 0 < len(with_8_bits) < sum(found.size > 0 for found in maps.values()):
        return DepthFault(
            'bits',
            f'{len(with_8_bits)} of them have 8 bits, such as {with_8_bits[0]}, and the others more. One '
            'depth_rescale_factor cannot be right for both: get these maps with 16 bits',
        )
    return find_fault(depth, factor, max_depth, bool(with_8_bits))


def _warn_of_turned_images(samples, loader):
    if loader is None or getattr(loader, 'backend_args', None):
        return
    headers = {sample['img_path']: read_header(sample['img_path']) for sample in samples if 'img_path' in sample}
    turned = [path for path, header in headers.items() if header and header.is_turned_in_place(loader)]
    if turned:
        warnings.warn(
            f'{turned[0]} has the EXIF orientation {headers[turned[0]].orientation} and is turned when it is loaded, '
            f'as are {len(turned)} of the {len(headers)} images that were read. The depth maps are not turned. If they '
            f'belong to the stored pixels, load the images with {raw_pixels_option(loader)}',
            stacklevel=2,
        )


def _has_8_bits(path):
    header = read_header(path) if path else None
    return header is not None and header.has_8_bits


def _load(loader, path):
    try:
        depth = loader.transform(dict(depth_map_path=path, seg_fields=[]))['gt_depth_map']
    except (AttributeError, TypeError) as error:  # OpenCV gives None instead of an image
        raise ValueError(f'{path}: empty, damaged, or not a depth map; get the file again') from error
    if depth.ndim != 2:
        raise ValueError(f'{path}: depth map of shape {depth.shape}, expected one channel')
    return depth
