"""mmcv's image loader, with errors that name the file."""

import os

import cv2
import numpy as np
from mmcv.transforms import LoadImageFromFile
from mmseg.registry import TRANSFORMS

from mmdiffperc.inference.image_limits import check_pixels, unreadable
from mmdiffperc.validation import validated


@TRANSFORMS.register_module(name='LoadImageFromFile')
@validated
class NamingImageLoader(LoadImageFromFile):
    """``LoadImageFromFile`` under its own name, which the inferencer of mmseg insists on.

    OpenCV's error for an empty file does not name the file, and OpenCV silently changes RGB images of floating-point
    numbers.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file holds no image that can be decoded, or one with too many pixels; ``color_type`` or
            ``imdecode_backend`` make something else of it than RGB of 8 bits.
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
        except (AssertionError, cv2.error) as error:
            raise unreadable(path) from error
        return self._check_colours(results, path)

    def _check_colours(self, results, path):
        image = results and results['img']
        expected = np.float32 if self.to_float32 else np.uint8
        if image is not None and (image.ndim != 3 or image.shape[2] != 3 or image.dtype != expected):
            raise ValueError(
                f'{path}: loaded as an array {image.shape} of {image.dtype}; expected RGB images of 8 bits, '
                '(height, width, 3). Leave color_type and imdecode_backend out of LoadImageFromFile'
            )
        return results
