"""Data transforms for referring segmentation."""

from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from mmdiffperc.files import brief
from mmdiffperc.seg.semantic.check_labels import size_advice
from mmdiffperc.validation import validated

from .coco_segmentation import draw_segmentation


@TRANSFORMS.register_module()
@validated
class LoadReferringMask(BaseTransform):
    """Draw the mask of the object to which a sentence refers: 1 on the object, 0 elsewhere.

    Required keys: the keys of :class:`.ReferringSegDataset`, and ``ori_shape`` from the image loader. Added keys:
    ``gt_seg_map`` (uint8, H x W), and its name in ``seg_fields``. Without ``segmentation``, as when a test pipeline
    runs on your own image, it does nothing.

    Raises:
        ValueError: The segmentation is not in COCO's format or has no pixel in the image, or the image differs in size
            from its entry in the annotations.
    """

    def transform(self, results: dict) -> dict:
        """Add the mask."""
        if 'segmentation' not in results:
            return results
        size, loaded = (results['height'], results['width']), tuple(results['ori_shape'])
        if loaded != size:
            raise ValueError(
                f'{results["img_path"]}: the image is {_size(loaded)}, its annotations are for {_size(size)} (height x '
                f'width). {size_advice(size, loaded)}'
            )
        try:
            results['gt_seg_map'] = draw_segmentation(results['segmentation'], *size)
        except ValueError as error:
            raise ValueError(f'{results["img_path"]}, ref {results["ref_id"]}: {error}') from error
        if not results['gt_seg_map'].any():
            raise ValueError(
                f'{results["img_path"]}, ref {results["ref_id"]}: the mask of the referred object is empty. Expected a '
                f'segmentation with pixels inside the image, got {brief(results["segmentation"])}'
            )
        results['seg_fields'].append('gt_seg_map')
        return results


@TRANSFORMS.register_module()
@validated
class EvaluateAtInputSize(BaseTransform):
    """Compare prediction and truth at the input size, as in the official evaluation of LAVT and VPD.

    It replaces the original size, to which a segmentor resizes its prediction, by the current size. Without
    ``gt_seg_map``, as with your own image, it does nothing, and the prediction has the size of the image.

    Required key: ``img_shape``. Modified key: ``ori_shape``.
    """

    def transform(self, results: dict) -> dict:
        """Set ``ori_shape``."""
        if 'gt_seg_map' in results:
            results['ori_shape'] = results['img_shape']
        return results


def _size(shape) -> str:
    return ' x '.join(map(str, shape))
