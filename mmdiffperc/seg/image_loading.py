"""mmcv's image loader, with errors that name the file."""

import cv2
from mmcv.transforms import LoadImageFromFile
from mmseg.registry import TRANSFORMS

from mmdiffperc.validation import validated


@TRANSFORMS.register_module(name='LoadImageFromFile')
@validated
class NamingImageLoader(LoadImageFromFile):
    """``LoadImageFromFile`` under its own name, which the inferencer of mmseg insists on.

    For an empty file OpenCV's error names no file, which is of little help in a data set of many.

    Raises:
        ValueError: The file holds no image that can be decoded.
    """

    def transform(self, results: dict) -> dict | None:
        """Load the image ``results['img_path']``, see ``mmcv.transforms.LoadImageFromFile``."""
        try:
            return super().transform(results)
        except (AssertionError, cv2.error) as error:
            raise ValueError(f'{results["img_path"]}: empty, damaged or no image; get the file again') from error
