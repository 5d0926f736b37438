"""Data transforms for referring segmentation."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS
from pycocotools import mask as coco_mask

from mmdiffperc.validation import validated

MIN_POLYGON = 6  # coordinates, of three points


@TRANSFORMS.register_module()
@validated
class LoadReferringMask(BaseTransform):
    """Draw the mask of the object that a sentence refers to: 1 on the object, 0 elsewhere.

    Required keys: those of :class:`.ReferringSegDataset`, and ``ori_shape`` of the image loader. Added keys:
    ``gt_seg_map`` (uint8, H x W) and its name in ``seg_fields``. Without ``segmentation``, as when a test pipeline runs
    on one's own image, it does nothing.

    Raises:
        ValueError: The segmentation is none of COCO's, or the image has another size than the annotations say.
    """

    def transform(self, results: dict) -> dict:
        """Add the mask."""
        if 'segmentation' not in results:
            return results
        size = results['height'], results['width']
        if tuple(results['ori_shape']) != size:
            raise ValueError(
                f'{results["img_path"]}: the image is {_size(results["ori_shape"])}, its annotations are for '
                f'{_size(size)} (height x width). Are these the images of this data set, as they were downloaded?'
            )
        try:
            results['gt_seg_map'] = draw_segmentation(results['segmentation'], *size)
        except ValueError as error:
            raise ValueError(f'{results["img_path"]}, ref {results["ref_id"]}: {error}') from error
        results['seg_fields'].append('gt_seg_map')
        return results


@TRANSFORMS.register_module()
@validated
class EvaluateAtInputSize(BaseTransform):
    """Compare prediction and truth at the size that the network sees, as the official evaluation of LAVT and VPD does.

    It makes the present size the original one, to which a segmentor resizes its prediction. Without ``gt_seg_map``, as
    on one's own image, it does nothing, and the prediction has the image's own size.

    Required key: ``img_shape``. Modified key: ``ori_shape``.
    """

    def transform(self, results: dict) -> dict:
        """Set ``ori_shape``."""
        if 'gt_seg_map' in results:
            results['ori_shape'] = results['img_shape']
        return results


def draw_segmentation(segmentation: list | dict, height: int, width: int) -> np.ndarray:
    """Draw one of COCO's segmentations.

    Args:
        segmentation (list | dict): Polygons ``[[x0, y0, x1, y1, ...], ...]``, whose union is the object (those of
            fewer than three points do not count), or a run-length code, compressed or not.
        height (int): Of the image.
        width (int): Of the image.

    Returns:
        np.ndarray: uint8 ``(H, W)`` of 0 and 1.

    Raises:
        ValueError: It is neither, or of another size.
    """
    if isinstance(segmentation, dict):
        code = _run_length_code(segmentation, height, width)
    else:
        code = coco_mask.merge(coco_mask.frPyObjects(_areas(segmentation), height, width))
    return coco_mask.decode(code)


def _run_length_code(segmentation: dict, height: int, width: int) -> dict:
    """The compressed form."""
    if segmentation.get('size') != [height, width]:
        raise ValueError(f'expected a run-length code of size {[height, width]}, got {segmentation.get("size")}')
    if isinstance(segmentation['counts'], (str, bytes)):
        return segmentation
    # Too few would be drawn all the same, and the rest left to chance.
    if sum(segmentation['counts']) != height * width:
        raise ValueError(f'expected runs of {height * width} pixels in all, got {sum(segmentation["counts"])}')
    return coco_mask.frPyObjects(segmentation, height, width)


def _areas(polygons: list) -> list:
    """The polygons that have an area; COCO holds some that do not, and four numbers would be taken for a box."""
    areas = [polygon for polygon in polygons if len(polygon) >= MIN_POLYGON and len(polygon) % 2 == 0]
    if not areas:
        raise ValueError(f'expected polygons of at least three points [x0, y0, x1, y1, ...], got {polygons!r:.100}')
    return areas


def _size(shape) -> str:
    return ' x '.join(map(str, shape))
