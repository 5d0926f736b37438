"""The crop of KITTI's benchmark, a transform that needs no host."""

import numpy as np

from mmdiffperc.evaluation.depth import BENCHMARK_SIZE, benchmark_crop
from mmdiffperc.registry import TRANSFORMS
from mmdiffperc.validation import Listed, Size2d, validated


@TRANSFORMS.register_module()
@validated
class KBCrop:
    """Crop the image and its maps to the size of the KITTI benchmark: bottom rows, middle columns.

    KITTI's images vary from 370 x 1224 to 376 x 1242 pixels; BTS, VPD and MetaPrompts train and evaluate on a crop of
    352 x 1216. The crop replaces the original image, so predictions and truth have its size.

    Required keys: ``img`` and the maps to crop. Modified keys: the same, ``img_shape`` and ``ori_shape``.

    Args:
        size (tuple[int, int]): Height and width of the crop. Defaults to (352, 1216).
        keys (Sequence[str], optional): The arrays to crop. Default: ``img`` and all loaded maps (``seg_fields``).
            Test-time augmentation loads the depth map after the image has been augmented, and crops it separately.

    Raises:
        ValueError: The image is smaller than the crop.
    """

    def __init__(self, size: Size2d = BENCHMARK_SIZE, keys: Listed[str] | None = None):
        self.size = tuple(size)
        self.keys = keys

    def __call__(self, results: dict) -> dict:
        """Crop the image and the maps."""
        for key in self.keys or ('img', *results.get('seg_fields', [])):
            results[key] = self._crop(results[key], results.get('img_path'))
        results['ori_shape'] = self.size
        results['img_shape'] = results['img'].shape[:2]
        return results

    def _crop(self, array: np.ndarray, path: str | None) -> np.ndarray:
        try:
            return array[benchmark_crop(array.shape[:2], self.size)]
        except ValueError as error:
            raise ValueError(f'{path}: {error}; resize the image, or leave the crop out') from error
