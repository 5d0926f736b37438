"""Target maps as the content of files: PNG of 8 or 16 bits, npy and npz."""

import io

import cv2
import numpy as np

from mmdiffperc.inference.image_limits import check_pixels

from .numpy_files import UnsuitableArray, read_npy, read_npz

ARRAY_NAME = 'x'
SUFFIXES = ('.npz', '.npy', '.png')  # exact numbers come before a picture of them
NPZ, NPY = b'PK\x03\x04', b'\x93NUMPY'  # how such files begin


def decode_target(content: bytes, name: str) -> np.ndarray:
    """Read a target map from the content of a file.

    Size and type are checked before anything is decoded, because a small file may hold a huge map.

    Args:
        content (bytes): An npz with an array ``x`` or a single array, an npy, or an image that OpenCV and Pillow read.
        name (str): Of the file, for messages.

    Returns:
        np.ndarray: ``(H, W)``, or ``(H, W, C)`` in RGB, as stored: 8 or 16 bits for an image.

    Raises:
        ValueError: The content is damaged, too large, or none of these.
    """
    array = _decode_numpy(content, name) if content.startswith((NPZ, NPY)) else _decode_image(content, name)
    if array is None or array.ndim not in (2, 3) or not array.size:
        found = 'damaged, or none of these' if array is None else f'an array of shape {array.shape}'
        raise ValueError(
            f'{name}: expected a target map (height, width[, channels]) as PNG, npy or npz, found {len(content)} '
            f'bytes that are {found}; make it again'
        )
    return array


def encode_npz(target: np.ndarray) -> bytes:
    """Write a target map of any numbers as npz."""
    content = io.BytesIO()
    np.savez_compressed(content, **{ARRAY_NAME: target})
    return content.getvalue()


def _decode_numpy(content, name):
    try:
        return read_npz(content, ARRAY_NAME) if content.startswith(NPZ) else read_npy(content)
    except UnsuitableArray as error:
        raise ValueError(f'{name}: {error}; make it again') from error
    except Exception as error:  # damaged content can make the readers fail in any way
        raise ValueError(f'{name}: damaged npy or npz ({str(error)[:200]}); make it again') from error


def _decode_image(content, name):
    """Return the image in RGB, or None if the content is not an image."""
    if not check_pixels(content, name):
        return None
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
