"""Target maps as the content of files: PNG with 8 or 16 bits, npy and npz.

No file is trusted: size and type are checked before anything is decoded, because a small file may hold a huge map.
"""

import io
import math
import zipfile
from typing import BinaryIO

import cv2
import numpy as np

from mmdiffperc.files import brief
from mmdiffperc.inference.image_limits import check_pixels

ARRAY_NAME = 'x'
SUFFIXES = ('.npz', '.npy', '.png')  # exact numbers come before a picture of them
NPZ, NPY = b'PK\x03\x04', b'\x93NUMPY'  # how such files begin
MOST_BYTES = 400_000_000  # 100 megapixels in single precision
HEADER_BYTES = 20_000  # more than NumPy accepts
HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
NUMBERS = 'biuf'  # booleans, integers and floating-point numbers
ROUNDING = 0.01  # by which a component of a unit vector may exceed 1, in half precision for instance
COMPRESSIONS = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED  # used by numpy.savez; LZMA allocates any size a file asks for


def decode_target(content: bytes, name: str) -> np.ndarray:
    """Read a target map from the content of a file.

    Args:
        content (bytes): An npz with an array ``x`` or a single array, an npy, or an image that OpenCV and Pillow read.
        name (str): Name of the file, for messages.

    Returns:
        np.ndarray: ``(H, W)``, or ``(H, W, C)`` in RGB, with the stored type: 8 or 16 bits for an image.

    Raises:
        ValueError: The content is damaged, too large, or in another format.
    """
    array = _decode_numpy(content, name) if content.startswith((NPZ, NPY)) else _decode_image(content, name)
    if array is None or array.ndim not in (2, 3) or not array.size:
        found = 'that are damaged or in another format' if array is None else f'with an array of shape {array.shape}'
        raise ValueError(
            f'{name}: expected a target map (height, width[, channels]) as PNG, npy or npz, found {len(content)} '
            f'bytes {found}; create the file again'
        )
    return array


def to_rgb(image: np.ndarray) -> np.ndarray:
    """Convert an image ``(H, W[, C])`` to RGB: repeat a grey channel, or drop the alpha channel."""
    image = np.atleast_3d(image)
    return np.repeat(image, 3, axis=2) if image.shape[2] == 1 else image[..., :3]


def to_unit_range(image: np.ndarray, name: str) -> np.ndarray:
    """Convert colours to numbers in [0, 1]: divide integers of 8 or 16 bits by 255 or 65535.

    Args:
        image (np.ndarray): Such integers, or floating-point numbers in [0, 1].
        name (str): Name of the file, for messages.

    Raises:
        ValueError: The image has other numbers.
    """
    if image.dtype in (np.uint8, np.uint16):
        return image / np.iinfo(image.dtype).max
    if image.dtype.kind != 'f':
        raise ValueError(f'{name}: expected colours as uint8, uint16 or floating-point numbers, got {image.dtype}')
    if image.min() < 0 or image.max() > 1:
        raise ValueError(
            f'{name}: expected RGB targets in [0, 1], got {image.min():.4g} to {image.max():.4g}; for normals, set '
            "mode='normals'"
        )
    return image


def to_signed_range(image: np.ndarray, name: str) -> np.ndarray:
    """Convert normals to numbers in [-1, 1]: integers of 8 or 16 bits hold them as ``(n + 1) / 2``.

    Args:
        image (np.ndarray): Such integers, or floating-point numbers in [-1, 1], up to rounding.
        name (str): Name of the file, for messages.

    Raises:
        ValueError: The image has other numbers.
    """
    if image.dtype.kind != 'f':
        return to_unit_range(image, name) * 2 - 1
    if (largest := np.abs(image).max()) > 1 + ROUNDING:
        raise ValueError(f'{name}: expected normals in [-1, 1] as floating-point numbers, got {largest:.4g}')
    return image.astype(np.float64)


def _decode_numpy(content, name):
    try:
        if content.startswith(NPY):
            return _read_array(io.BytesIO(content), len(content))
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            member = _find_array(archive)
            with archive.open(member) as file:
                return _read_array(file, member.file_size)
    except Exception as error:  # zipfile, zlib, struct and NumPy have no common error for damaged content
        raise ValueError(f'{name}: unsuitable or damaged npy or npz ({str(error)[:400]}); create it again') from error


def _decode_image(content, name):
    """Return the image in RGB, or None if the content is not an image."""
    if not check_pixels(content, name):
        return None
    image = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if image is None or image.ndim == 2:
        return image
    return cv2.cvtColor(image, cv2.COLOR_BGR2RGB if image.shape[2] == 3 else cv2.COLOR_BGRA2RGBA)


def _find_array(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    """Find the array ``x`` of an npz, or its only array, which may have any name."""
    arrays = {member.filename.removesuffix('.npy'): member for member in archive.infolist()}
    if len(arrays) != 1 and ARRAY_NAME not in arrays:
        found = str(sorted(arrays))[:200]
        raise ValueError(f'expected an array named {ARRAY_NAME!r} or a single one, found {found}')
    member = arrays.get(ARRAY_NAME, next(iter(arrays.values())))
    if member.compress_type not in COMPRESSIONS:
        raise ValueError(f'expected the compression of numpy.savez_compressed, got method {member.compress_type}')
    return member


def _read_array(file: BinaryIO, size: int) -> np.ndarray:
    """Read an npy file of a size in bytes; zipfile reads no further either."""
    if size > MOST_BYTES + HEADER_BYTES:
        raise ValueError(f'its array has {size} bytes, at most {MOST_BYTES} are read')
    version = np.lib.format.read_magic(file)
    if version not in HEADER_READERS:
        raise ValueError(f'expected version 1.0 or 2.0 of the npy format, got {version}')
    shape, _, dtype = HEADER_READERS[version](file)
    if dtype.kind not in NUMBERS:
        raise ValueError(f'expected an array of numbers, got dtype {brief(str(dtype))}')
    if (declared := math.prod(shape) * dtype.itemsize) != size - file.tell():
        raise ValueError(
            f'its header declares {brief(declared)} bytes, an array {str(shape)[:100]} of {dtype}, but '
            f'{size - file.tell()} follow'
        )
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)
