"""Data transforms for depth."""

import warnings

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from mmdiffperc.validation import Listed, PositiveFloat, Size2d, validated

# Units in a metre of the usual depth files.
UNITS = {256: "KITTI's 1/256 m", 1000: 'millimetres', 5000: "TUM's 0.2 mm"}


@TRANSFORMS.register_module()
@validated
class KBCrop(BaseTransform):
    """Crop image and depth map to the size of the KITTI benchmark: bottom rows, middle columns.

    KITTI's images vary from 370 x 1224 to 376 x 1242; the networks and evaluations of BTS, VPD and MetaPrompts see
    352 x 1216 of them. The crop counts as the original image, so predictions and truth keep its size.

    Required keys: ``img`` and those to crop. Modified keys: those, ``img_shape`` and ``ori_shape``.

    Args:
        size (tuple[int, int]): Height and width of the crop. Defaults to (352, 1216).
        keys (Sequence[str], optional): What to crop. Default: ``img`` and all maps that are loaded (``seg_fields``).
            Test-time augmentation loads the depth map after the image has been changed, and crops it by itself.

    Raises:
        ValueError: The image is smaller.
    """

    def __init__(self, size: Size2d = (352, 1216), keys: Listed[str] | None = None):
        self.size = tuple(size)
        self.keys = keys

    def transform(self, results: dict) -> dict:
        """Crop."""
        for key in self.keys or ('img', *results.get('seg_fields', [])):
            results[key] = self._crop(results[key], results.get('img_path'))
        results['ori_shape'] = self.size
        results['img_shape'] = results['img'].shape[:2]
        return results

    def _crop(self, array: np.ndarray, path: str | None) -> np.ndarray:
        height, width = self.size
        top, left = array.shape[0] - height, (array.shape[1] - width) // 2
        if top < 0 or left < 0:
            raise ValueError(
                f'{path}: {array.shape[0]} x {array.shape[1]} is too small for a crop of {height} x {width}; resize '
                'it, or leave KBCrop out of the pipeline'
            )
        return array[top : top + height, left : left + width]


@TRANSFORMS.register_module()
@validated
class CheckDepth(BaseTransform):
    """Refuse a depth map that is not the image's; warn of one in another unit. Stands right after the map's loader.

    The image may have been resized before, as mmseg does in testing: it is its original size that counts.

    A wrong unit shows itself in depth that is *everywhere* beyond ``max_depth``: the evaluation then counts no pixel,
    and the loss drives the network into the saturation of its sigmoid. Each copy of the transform warns once.

    Required keys: ``ori_shape``. Without ``gt_depth_map``, as when a test pipeline runs on one's own image, it does
    nothing.

    Args:
        max_depth (float): In metres, as in the head.

    Raises:
        ValueError: The depth map is not a map, or differs in size from the image.
    """

    def __init__(self, max_depth: PositiveFloat):
        self.max_depth = max_depth
        self._warned = False

    def transform(self, results: dict) -> dict:
        """Return ``results`` unchanged."""
        if 'gt_depth_map' not in results:
            return results
        size, depth = tuple(results['ori_shape']), results['gt_depth_map']
        if depth.shape != size:
            raise ValueError(
                f'{results.get("depth_map_path")}: depth map of shape {depth.shape} for an image of {size} '
                f'(height, width), {results.get("img_path")}. Check that the two belong together and that the file '
                'has one channel'
            )
        measured = depth[depth > 0]
        if not self._warned and measured.size and measured.min() > self.max_depth:
            self._warned = True
            warnings.warn(self._wrong_unit(measured, results), stacklevel=2)
        return results

    def _wrong_unit(self, measured: np.ndarray, results: dict) -> str:
        factor = results.get('depth_rescale_factor', 1.0)
        far = np.percentile(measured, 95)  # a few pixels of any file are wrong
        # The coarsest that fits: finer ones would put all of the scene right in front of the camera.
        units = next((units for units in UNITS if far / units < self.max_depth), None)
        likely = f'{factor / units:.6g}, for {UNITS[units]}' if units else 'none of the usual ones'
        return (
            f'{results.get("depth_map_path")}: all depth lies beyond max_depth = {self.max_depth}, from '
            f'{measured.min():.6g} to {measured.max():.6g}, so its unit is hardly the metre. Likely '
            f'depth_rescale_factor of LoadDepthAnnotation: {likely}'
        )
