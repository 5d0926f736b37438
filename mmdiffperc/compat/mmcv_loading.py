"""Name the image file that mmcv cannot decode.

For an empty file, mmcv's ``LoadImageFromFile`` passes on OpenCV's ``!buf.empty()``, which names no file. The core must
not import mmcv, so ``mmdiffperc.seg`` installs this.

Delete when mmcv, 2.1.0 today, names the empty file.
"""

from functools import wraps

import cv2

from mmdiffperc.inference.image_limits import unreadable


def install() -> None:
    """Make ``LoadImageFromFile``, and all loaders that inherit from it, name the file."""
    from mmcv.transforms import LoadImageFromFile  # a dependency of the hosts, not of the core

    load = LoadImageFromFile.transform

    @wraps(load)
    def load_named(loader, results):
        try:
            return load(loader, results)
        except cv2.error as error:
            raise unreadable(results['img_path']) from error

    LoadImageFromFile.transform = load_named
