"""Data transforms for depth."""

import warnings

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from mmdiffperc.validation import Listed, PositiveFloat, Size2d, validated

from .transforms import size_advice

# Units in a metre of the usual depth files.
UNITS = {256: "KITTI's 1/256 m", 1000: 'millimetres', 5000: "TUM's 0.2 mm"}
HIGHEST_BYTE = 255
# A map of 8 bits is told from one of 16 bits by depth that ends below this share of the range.
NEAR = 0.1
# Shares of the measured pixels beyond the range from which on a warning is due: of any values, and of a single one.
SHARE_BEYOND, SHARE_CONSTANT = 0.1, 1e-3


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
    """Refuse a depth map that does not belong to its image, and warn of depth that hardly is in metres.

    Place it right after the map's loader. The image may have been resized before, as mmseg does in testing: its
    original size counts. Each copy of the transform warns once, of the first of these:

    - All depth lies beyond ``max_depth``: the unit is wrong, the evaluation counts no pixel, and the loss drives the
      network into the saturation of its sigmoid.
    - Many pixels beyond ``max_depth`` have one and the same value, such as 65535 in the file: the value marks pixels
      that were not measured. The loss would learn it as a depth.
    - More than a tenth of the measured pixels lie beyond ``max_depth``.
    - The numbers in the file do not exceed 255, so that even the farthest lies within a tenth of ``max_depth``: a map
      of 8 bits was loaded with the unit of a map of 16 bits.

    Depth that is not finite is no depth.

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
                f'(height, width), {results.get("img_path")}. A depth map has one channel. '
                f'{size_advice(depth.shape, size)}'
            )
        if not self._warned and (fault := self._fault(depth[(depth > 0) & np.isfinite(depth)], results)):
            self._warned = True
            warnings.warn(f'{results.get("depth_map_path")}: {fault}', stacklevel=2)
        return results

    def _fault(self, measured: np.ndarray, results: dict) -> str | None:
        if not measured.size:
            return None
        factor = results.get('depth_rescale_factor', 1.0)
        beyond = measured[measured > self.max_depth]
        share = beyond.size / measured.size
        if share > SHARE_CONSTANT and share < 1 and beyond.min() == beyond.max():
            return self._marker(beyond[0], share, factor)
        if share == 1:
            return self._wrong_unit(measured, factor)
        if share > SHARE_BEYOND:
            return (
                f'{share:.0%} of the depth lies beyond max_depth = {self.max_depth}, up to {beyond.max():.6g}. Raise '
                'max_depth of the head, of CheckDepth and of the metric, or check depth_rescale_factor'
            )
        is_small = measured.max() <= HIGHEST_BYTE * factor * (1 + 1e-6)  # beside rounding
        return self._few_bits(factor) if is_small and HIGHEST_BYTE * factor < NEAR * self.max_depth else None

    def _marker(self, value: float, share: float, factor: float) -> str:
        return (
            f'{share:.2%} of the depth is {value / factor:.6g} in the file, {value:.6g} m, beyond max_depth = '
            f'{self.max_depth}, and no other depth is. It likely marks pixels that were not measured: write 0 there'
        )

    def _few_bits(self, factor: float) -> str:
        return (
            f'no number in the file exceeds {HIGHEST_BYTE}, so all depth lies within {HIGHEST_BYTE * factor:.6g} of '
            f'max_depth = {self.max_depth}. A map of 8 bits is hardly in the unit of depth_rescale_factor = '
            f'{factor:.6g}: set {self.max_depth / HIGHEST_BYTE:.6g} if {HIGHEST_BYTE} stands for max_depth, or get the '
            'map of 16 bits'
        )

    def _wrong_unit(self, measured: np.ndarray, factor: float) -> str:
        far = np.percentile(measured, 95)  # a few pixels of any file are wrong
        # The coarsest that fits: finer ones would put all of the scene right in front of the camera.
        units = next((units for units in UNITS if far / units < self.max_depth), None)
        likely = f'{factor / units:.6g}, for {UNITS[units]}' if units else 'none of the usual ones'
        return (
            f'all depth lies beyond max_depth = {self.max_depth}, from {measured.min():.6g} to {measured.max():.6g}, '
            f'so its unit is hardly the metre. Likely depth_rescale_factor of LoadDepthAnnotation: {likely}'
        )
