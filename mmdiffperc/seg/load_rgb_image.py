"""mmcv's image loader, for RGB images of 8 bits only."""

import os

import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmseg.registry import TRANSFORMS

from mmdiffperc.inference.image_limits import check_pixels, unreadable
from mmdiffperc.validation import validated


@TRANSFORMS.register_module()
@validated
class LoadRGBImageFromFile(LoadImageFromFile):
    """mmcv's ``LoadImageFromFile``, which refuses everything but an RGB image of 8 bits and names the file.

    OpenCV silently changes RGB images of floating-point numbers. Test pipelines keep ``LoadImageFromFile``, because
    mmseg's ``MMSegInferencer`` looks for that name.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not an image that can be decoded, it has too many pixels, or ``color_type`` or
            ``imdecode_backend`` turn it into something other than an RGB image of 8 bits.
    """

    def transform(self, results: dict) -> dict | None:
        """Load the image ``results['img_path']``, see ``mmcv.transforms.LoadImageFromFile``."""
        path = results['img_path']
        if os.path.isfile(path) and not check_pixels(path, path):  # it may be in another of mmengine's storages
            raise unreadable(path)
        try:
            results = super().transform(results)
        except FileNotFoundError as error:
            raise FileNotFoundError(f'{path}: no such image; check data_root and data_prefix, or the path') from error
        except AssertionError as error:
            raise unreadable(path) from error
        return self._check_colours(results, path)

    def _check_colours(self, results, path):
        image = results and results['img']
        expected = np.float32 if self.to_float32 else np.uint8
        if image is not None and (image.ndim != 3 or image.shape[2] != 3 or image.dtype != expected):
            raise ValueError(
                f'{path}: loaded as an array {image.shape} of {image.dtype}; expected an RGB image of 8 bits, '
                f'(height, width, 3). Remove color_type and imdecode_backend from {type(self).__name__}'
            )
        return results
