"""Arrays in npy and npz files, of which nothing is trusted: their size and type are checked before they are read."""

import io
import math
import zipfile
from typing import BinaryIO

import numpy as np

from mmdiffperc.files import brief

MOST_BYTES = 400_000_000  # 100 megapixels in single precision
HEADER_BYTES = 20_000  # more than NumPy accepts
HEADER_READERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
NUMBERS = 'biuf'  # booleans, integers and floating-point numbers; not objects, strings and records
COMPRESSIONS = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED  # those of numpy.savez; LZMA allocates what the file says


class UnsuitableArray(ValueError):
    """A file does not hold the array that is wanted, or not one that is safe to read."""


def read_npy(content: bytes) -> np.ndarray:
    """Read the array in the content of an npy file.

    Raises:
        UnsuitableArray: The array is too large, not of numbers, or not as its header says.
        Exception: Damaged content can raise errors of zipfile, zlib, struct and NumPy, which share no base class.
    """
    return _read_array(io.BytesIO(content), len(content))


def read_npz(content: bytes, name: str) -> np.ndarray:
    """Read an array in the content of an npz file.

    Args:
        content (bytes): Content of the file.
        name (str): Name of the array; if the file has a single array, that one is read, whatever its name.

    Raises:
        UnsuitableArray: There is no such array, or it is too large, not of numbers, or not as its header says.
        Exception: As for :func:`read_npy`.
    """
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        arrays = {member.filename.removesuffix('.npy'): member for member in archive.infolist()}
        if len(arrays) != 1 and name not in arrays:
            raise UnsuitableArray(
                f'expected an array named {name!r} or a single one, found {str(sorted(arrays))[:200]}'
            )
        member = arrays.get(name, next(iter(arrays.values())))
        if member.compress_type not in COMPRESSIONS:
            raise UnsuitableArray(
                f'expected the compression of numpy.savez_compressed, got method {member.compress_type}'
            )
        with archive.open(member) as file:
            return _read_array(file, member.file_size)


def _read_array(file: BinaryIO, size: int) -> np.ndarray:
    """Read an npy of this size in bytes, beyond which zipfile does not read either."""
    if size > MOST_BYTES + HEADER_BYTES:
        raise UnsuitableArray(f'its array has {size} bytes, at most {MOST_BYTES} are read')
    version = np.lib.format.read_magic(file)
    if version not in HEADER_READERS:
        raise UnsuitableArray(f'expected version 1.0 or 2.0 of the npy format, got {version}')
    shape, _, dtype = HEADER_READERS[version](file)
    if dtype.kind not in NUMBERS:
        raise UnsuitableArray(f'expected an array of numbers, got dtype {brief(str(dtype))}')
    if (declared := math.prod(shape) * dtype.itemsize) != size - file.tell():
        raise UnsuitableArray(
            f'its header declares {brief(declared)} bytes, an array {str(shape)[:100]} of {dtype}, but '
            f'{size - file.tell()} follow'
        )
    file.seek(0)
    return np.lib.format.read_array(file, allow_pickle=False)
