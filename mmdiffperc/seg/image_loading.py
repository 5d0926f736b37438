"""mmcv's image loader, with errors that name the file."""

import os

import cv2
from mmcv.transforms import LoadImageFromFile
from mmseg.registry import TRANSFORMS

from mmdiffperc.datasets.image_limits import check_pixels
from mmdiffperc.validation import validated


@TRANSFORMS.register_module(name='LoadImageFromFile')
@validated
class NamingImageLoader(LoadImageFromFile):
    """``LoadImageFromFile`` under its own name, which the inferencer of mmseg insists on.

    For an empty file OpenCV's error names no file, which is of little help in a data set of many.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file holds no image that can be decoded, or one with too many pixels.
    """

    def transform(self, results: dict) -> dict | None:
        """Load the image ``results['img_path']``, see ``mmcv.transforms.LoadImageFromFile``."""
        path = results['img_path']
        if os.path.isfile(path):  # and not in one of mmengine's other storages
            check_pixels(path, path)
        try:
            return super().transform(results)
        except FileNotFoundError as error:
            raise FileNotFoundError(f'{path}: no such image; check data_root and data_prefix, or the path') from error
        except (AssertionError, cv2.error) as error:
            raise ValueError(f'{path}: empty, damaged or no image; get the file again') from error
