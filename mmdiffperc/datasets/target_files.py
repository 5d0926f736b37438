"""Target maps as the content of files: PNG of 8 or 16 bits, npy and npz."""

import io

import cv2
import numpy as np

ARRAY_NAME = 'x'
SUFFIXES = ('.npz', '.npy', '.png')  # exact numbers come before a picture of them
NUMPY_SIGNATURES = b'PK\x03\x04', b'\x93NUMPY'


def decode_target(content: bytes, name: str) -> np.ndarray:
    """Read a target map from the content of a file.

    Args:
        content (bytes): An npz with an array ``x`` or a single array, an npy, or any image that OpenCV reads.
        name (str): Of the file, for messages.

    Returns:
        np.ndarray: ``(H, W)``, or ``(H, W, C)`` in RGB, as stored: 8 or 16 bits for an image.

    Raises:
        ValueError: The content is damaged or none of these.
    """
    array = _decode_numpy(content, name) if content.startswith(NUMPY_SIGNATURES) else _decode_image(content)
    if array is None or array.ndim not in (2, 3) or not array.size:
        found = 'damaged, or none of these' if array is None else f'an array of shape {array.shape}'
        raise ValueError(
            f'{name}: expected a target map (height, width[, channels]) as PNG, npy or npz, found {len(content)} '
            f'bytes that are {found}; make it again'
        )
    return array


def encode_png(target: np.ndarray) -> bytes:
    """Write ``(H, W)`` or RGB ``(H, W, 3)``, of 8 or 16 bits, as PNG."""
    return cv2.imencode('.png', target[..., ::-1] if target.ndim == 3 else target)[1].tobytes()


def encode_npz(target: np.ndarray) -> bytes:
    """Write a target map of any numbers as npz."""
    content = io.BytesIO()
    np.savez_compressed(content, **{ARRAY_NAME: target})
    return content.getvalue()


def _decode_numpy(content, name):
    # A damaged archive shows itself in errors of zipfile, zlib, struct and NumPy, which share no class of their own.
    try:
        loaded = np.load(io.BytesIO(content))
        if isinstance(loaded, np.ndarray):
            return loaded
        arrays = {key: loaded[key] for key in loaded.files}
    except Exception as error:
        raise ValueError(f'{name}: damaged npy or npz ({error}); make it again') from error
    if len(arrays) != 1 and ARRAY_NAME not in arrays:
        raise ValueError(f'{name}: expected an array named {ARRAY_NAME!r} or a single one, found {sorted(arrays)}')
    return arrays.get(ARRAY_NAME, next(iter(arrays.values())))


def _decode_image(content):
    """The image in RGB, or None if there is none; OpenCV raises for nothing at all."""
    if not content:
        return None
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)
