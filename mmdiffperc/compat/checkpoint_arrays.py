"""NumPy's arrays and scalars as a checkpoint may hold them: numbers and text, rebuilt from their bytes.

NumPy's own functions trust a pickle. An array of objects over given bytes reads any address of the process, the state
of a type can turn numbers into objects, and text beyond Unicode ends the process when it is read. The classes here
stand in for NumPy's while a checkpoint is loaded.

Delete together with :mod:`mmdiffperc.compat.checkpoint`.
"""

import math
import re

import numpy as np

_NUMBERS_AND_TEXT = re.compile(r'[biufcSU]\d{1,9}')


class LoadedType:
    """Stand in for ``numpy.dtype``.

    Args:
        code (str): Such as ``'f8'`` or ``'U12'``.
        *options: Of ``numpy.dtype``, not used.

    Raises:
        ValueError: It is neither a number nor text.
    """

    def __init__(self, code: str, *options):
        if not isinstance(code, str) or not _NUMBERS_AND_TEXT.fullmatch(code):
            raise ValueError(f'an array of numbers or text was expected, not of type {str(code)[:20]!r}')
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple):
        """Take the byte order; all else follows from the code."""
        self.dtype = self.dtype.newbyteorder(state[1])


class LoadedArray(np.ndarray):
    """Stand in for ``numpy.ndarray``; it is saved as one. It starts empty: a pickle cannot ask for a shape."""

    def __new__(cls):
        return np.empty(0, 'u1').view(cls)

    def __setstate__(self, state: tuple):
        """Take shape, type and content, if they fit each other.

        Raises:
            ValueError: They do not, or text is not Unicode.
        """
        _, shape, kind, is_fortran, content = state
        dtype = kind.dtype
        if any(side < 0 for side in shape) or math.prod(shape) * dtype.itemsize != len(content):
            raise ValueError(f'an array of shape {shape[:8]} and type {dtype} does not have {len(content)} bytes')
        if dtype.kind == 'U':
            content.decode('utf-32-be' if dtype.str.startswith('>') else 'utf-32-le', 'surrogatepass')
        super().__setstate__((1, shape, dtype, bool(is_fortran), content))

    def __reduce__(self) -> tuple:
        return self.view(np.ndarray).__reduce__()


def reconstruct(*args) -> LoadedArray:
    """Return an empty array, to be filled by its state."""
    return LoadedArray()


def scalar(kind: LoadedType, content: bytes) -> np.generic:
    """Return a number or a text."""
    array = LoadedArray()
    array.__setstate__((1, (), kind, False, content))
    return array[()]


def numpy_globals() -> list[tuple]:
    """List the stand-ins under the names that NumPy's functions have in pickles of NumPy 1 and 2."""
    functions = {'_reconstruct': reconstruct, 'scalar': scalar}
    renamed = [(f, f'numpy.{core}.multiarray.{name}') for name, f in functions.items() for core in ('core', '_core')]
    return [(LoadedType, 'numpy.dtype'), (LoadedArray, 'numpy.ndarray'), *renamed]
