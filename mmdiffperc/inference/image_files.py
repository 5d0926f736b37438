"""Read an image."""

from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps

from mmdiffperc.files import brief

from .image_limits import check_pixels, unreadable


def read_image(image: str | Path | np.ndarray | Image.Image) -> np.ndarray:
    """Read an image ``(H, W, 3)`` in BGR, uint8, turned upright according to its EXIF data.

    Args:
        image: A file, a PIL image of 8 bits, or an array of this form, which is returned unchanged.

    Raises:
        OSError: The file does not exist.
        TypeError: The input has another type.
        ValueError: The file is not an image or has too many pixels; the array has another shape or type; the PIL image
            has more than 8 bits.
    """
    if isinstance(image, Image.Image):
        return _from_pil(image)
    if isinstance(image, np.ndarray):
        return _checked(image)
    if not isinstance(image, (str, Path)):
        raise TypeError(
            f'Expected an image file, an array (H, W, 3) or a PIL image, got {type(image).__name__} {brief(image)}'
        )
    if Path(image).is_dir():
        raise IsADirectoryError(f'{image} is a folder; expected an image file')
    if not Path(image).exists():
        raise FileNotFoundError(f'{image}: no such image; check the path')
    return decode_image(Path(image).read_bytes(), str(image))


def decode_image(content: bytes, name: str) -> np.ndarray:
    """Decode the content of an image file to ``(H, W, 3)`` in BGR, uint8, upright.

    Args:
        content (bytes): The content of the file.
        name (str): Name of the file, for messages.

    Raises:
        ValueError: The content is not an image, or has too many pixels.
    """
    is_known = check_pixels(content, name)
    decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR) if is_known else None
    if decoded is None:
        raise unreadable(name)
    return decoded


def _from_pil(image):
    if image.mode[0] in 'IF':  # Pillow would clip its numbers to 8 bits
        raise ValueError(f'Expected a PIL image of 8 bits, got one of mode {image.mode!r}; convert it first')
    return np.ascontiguousarray(np.asarray(ImageOps.exif_transpose(image).convert('RGB'))[..., ::-1])


def _checked(array):
    if not (array.ndim == 3 and array.shape[2] == 3 and array.size and array.dtype == np.uint8):
        raise ValueError(
            f'Expected an image (H, W, 3) in BGR, of uint8, got an array {array.shape} of {array.dtype}: convert it '
            'first, or give the name of an image file'
        )
    return array
