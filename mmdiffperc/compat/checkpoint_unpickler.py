"""What torch's restricted unpickler may build for a checkpoint.

Since torch 2.6, ``torch.load`` builds only tensors and plain containers by default. It therefore refuses mmengine's
own checkpoints, which also contain ``HistoryBuffer``, NumPy scalars and methods. ``weights_only=False`` would run any
code in a file. Instead, while this package or mmengine loads a checkpoint, torch's restricted unpickler gets the few
harmless types that such files contain, and loses some calls on its list that allocate memory of a given length.
Every other ``torch.load`` is unchanged.

NumPy's own functions trust a pickle: an array of objects over given bytes reads any address of the process, the state
of a type can turn numbers into objects, and text beyond Unicode ends the process when it is read. Stand-ins rebuild
arrays and scalars of numbers and text from their bytes.

A pickle may also name one tuple many times, and Python computes the hash of a tuple from all its entries. Forty
pairs, each holding the previous one twice, take two hundred bytes in a file, and hours as the key of a dict. Tuples are
therefore limited in size.

Delete together with :mod:`mmdiffperc.compat.checkpoint`.
"""

import datetime
import functools
import math
import pathlib
import pickle
import re
import threading
from argparse import Namespace
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler
from torch import Tensor
from torch import _weights_only_unpickler as torch_unpickler

_NUMBERS_AND_TEXT = re.compile(r'[biufcSU]\d{1,9}')
_MOST_ENTRIES = 2**20  # of a tuple, at all levels


class LoadedType:
    """Stand in for ``numpy.dtype``.

    Args:
        code (str): Such as ``'f8'`` or ``'U12'``.
        *options: Further arguments of ``numpy.dtype``, which are not used.

    Raises:
        ValueError: The type is neither a number nor text.
    """

    def __init__(self, code: str, *options):
        if not isinstance(code, str) or not _NUMBERS_AND_TEXT.fullmatch(code):
            raise ValueError(f'expected an array of numbers or text, got the type {str(code)[:20]!r}')
        self.dtype = np.dtype(code)

    def __setstate__(self, state: tuple):
        """Set the byte order; the code determines the rest."""
        self.dtype = self.dtype.newbyteorder(state[1])


class LoadedArray(np.ndarray):
    """Stand in for ``numpy.ndarray``. It starts empty, so a pickle cannot allocate memory; it is saved as an array."""

    def __new__(cls):
        return np.empty(0, 'u1').view(cls)

    def __setstate__(self, state: tuple):
        """Set shape, type and content.

        Raises:
            ValueError: They do not match, or text is not Unicode.
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
    """Return an empty array, which its state fills."""
    return LoadedArray()


def scalar(kind: LoadedType, content: bytes) -> np.generic:
    """Return a NumPy scalar: a number or text."""
    array = LoadedArray()
    array.__setstate__((1, (), kind, False, content))
    return array[()]


def numpy_globals() -> list[tuple]:
    """List the stand-ins under the names that NumPy's functions have in pickles of NumPy 1 and 2."""
    functions = {'_reconstruct': reconstruct, 'scalar': scalar}
    renamed = [(f, f'numpy.{core}.multiarray.{name}') for name, f in functions.items() for core in ('core', '_core')]
    return [(LoadedType, 'numpy.dtype'), (LoadedArray, 'numpy.ndarray'), *renamed]


class LoadedHistory(HistoryBuffer):
    """Stand in for ``HistoryBuffer``, whose state would replace the statistics of the class."""

    def __setstate__(self, state: dict):
        """Set the numbers, and become mmengine's class, so that it is saved as one."""
        histories = [state['_log_history'], state['_count_history']]
        if any(not isinstance(history, np.ndarray) or history.dtype.kind not in 'biuf' for history in histories):
            raise ValueError('expected the history of a log value to be an array of numbers')
        self.__init__(*histories, max_length=int(state['max_length']))
        self.__class__ = HistoryBuffer


# Pickles name a method as ``getattr(class, name)``; mmengine's objects hold these methods.
METHODS = {
    LoadedHistory: ('min', 'max', 'current', 'mean'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}


def safe_getattr(owner: Any, name: str) -> Callable:
    """Return one of the methods in ``METHODS``; stands in for ``getattr``."""
    if not isinstance(owner, type) or name not in METHODS.get(owner, ()):
        label = getattr(owner, '__qualname__', type(owner).__qualname__)
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL getattr({label},{str(name)[:40]!r})')
    return getattr(owner, name)


class LightningCallback:
    """Stand in for a Lightning class that Stable Diffusion files use as the key of training state."""


class TensorType:
    """Stand in for ``torch.Tensor``, which a pickle names as a type and could call with a length."""


def encode_bytes(text: str, encoding: str) -> bytes:
    """Return bytes; stands in for ``_codecs.encode`` with the only encoding that pickles use for bytes."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL _codecs.encode({str(encoding)[:40]!r})')
    return text.encode('latin1')


def byte_array(*content) -> bytearray:
    """Return a ``bytearray`` of given bytes, but never of a given length."""
    if content and not isinstance(content[0], (bytes, str)):
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL bytearray({str(content[0])[:40]})')
    return bytearray(*content)


def empty_bytes() -> bytes:
    """Return empty bytes, which pickles write as a call; other bytes are encoded text."""
    return b''


def rebuild_plain(rebuild: Callable, kind: Any, args: tuple, state: Any) -> Tensor:
    """Return the tensor without its Python attributes; stands in for ``_rebuild_from_type_v2``."""
    if rebuild not in torch_unpickler._tensor_rebuild_functions():
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL {getattr(rebuild, "__name__", "unknown")}')
    return rebuild(*args)


def rebuild_parameter(data: Tensor, requires_grad: bool, hooks: Any, state: Any) -> Tensor:
    """Return the parameter without its attributes."""
    return torch._utils._rebuild_parameter(data, requires_grad, hooks)


def _path_globals() -> list[tuple]:
    """List the path classes of all systems; Python 3.13 keeps them in ``pathlib._local``."""
    classes = {'PosixPath': pathlib.PurePosixPath, 'WindowsPath': pathlib.PureWindowsPath}
    return [(cls, f'{module}.{name}') for module in ('pathlib', 'pathlib._local') for name, cls in classes.items()]


SAFE_GLOBALS = [
    (LoadedHistory, 'mmengine.logging.history_buffer.HistoryBuffer'),
    (safe_getattr, 'builtins.getattr'),
    (empty_bytes, 'builtins.bytes'),
    OneCycleParamScheduler,
    ConfigDict,
    Namespace,
    datetime.datetime,
    datetime.date,
    datetime.timedelta,
    datetime.timezone,
    (LightningCallback, 'pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint'),
    *numpy_globals(),
    *_path_globals(),
]

# Names in torch's own list that can do more than a checkpoint needs.
_GUARDED = {
    'builtins.bytearray': byte_array,
    '_codecs.encode': encode_bytes,
    'torch.Tensor': TensorType,
    'torch._tensor._rebuild_from_type_v2': rebuild_plain,
    'torch._utils._rebuild_parameter_with_state': rebuild_parameter,
}
_REMOVED = ('torch.storage.TypedStorage', 'torch._utils._rebuild_wrapper_subclass')


class _Lists(threading.local):
    """What may be built for the checkpoint that a thread is loading; None while it does not load one."""

    built_in: dict[str, Any] | None = None
    added: dict[str, Any] | None = None


_lists = _Lists()


@contextmanager
def restricted() -> Iterator[None]:
    """Limit what torch's unpickler builds in this thread; all other loading in the process is unchanged."""
    outer = _lists.built_in, _lists.added
    _lists.built_in, _lists.added = _built_in(), torch_unpickler._get_user_allowed_globals() | _named(SAFE_GLOBALS)
    try:
        yield
    finally:
        _lists.built_in, _lists.added = outer


def _built_in() -> dict[str, Any]:
    tensors = {f'{kind.__module__}.{kind.__name__}' for kind in torch._tensor_classes}  # called with a length
    listed = torch_unpickler._get_allowed_globals()
    return {name: value for name, value in listed.items() if name not in tensors.union(_REMOVED)} | _GUARDED


def _named(entries: list) -> dict[str, Any]:
    pairs = (
        entry if isinstance(entry, tuple) else (entry, f'{entry.__module__}.{entry.__name__}') for entry in entries
    )
    return {name: value for value, name in pairs}


def _of_thread(get: Callable[[], dict], part: str) -> Callable[[], dict]:
    @functools.wraps(get)
    def listed() -> dict:
        return getattr(_lists, part) or get()

    return listed


class _Memo(dict):
    """Torch's memo of objects that a pickle can name again; it counts the entries at all levels of nested tuples."""

    def __init__(self):
        super().__init__()
        self._nested: dict[int, tuple[tuple, int]] = {}  # by identity, for which they are kept alive

    def __setitem__(self, index: int, value: Any) -> None:
        if type(value) is tuple and tuple in map(type, value):
            size = self._size(value)
            if size > _MOST_ENTRIES:
                raise pickle.UnpicklingError(f'a tuple has {size} entries, most of them named more than once')
            self._nested[id(value)] = value, size
        super().__setitem__(index, value)

    def _size(self, value: Any) -> int:
        if type(value) is not tuple:
            return 1
        if tuple not in map(type, value):
            return 1 + len(value)
        _, known = self._nested.get(id(value), (None, None))
        return known or 1 + sum(map(self._size, value))


class BoundedUnpickler(torch_unpickler.Unpickler):
    """Torch's restricted unpickler, with a limit for tuples in the thread that loads a checkpoint."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if _lists.built_in is not None:
            self.memo = _Memo()


def install() -> None:
    """Make torch use the lists of the thread that loads."""
    torch_unpickler._get_allowed_globals = _of_thread(torch_unpickler._get_allowed_globals, 'built_in')
    torch_unpickler._get_user_allowed_globals = _of_thread(torch_unpickler._get_user_allowed_globals, 'added')
    torch_unpickler.Unpickler = BoundedUnpickler


def safe_types() -> tuple[type, ...]:
    """Return the types that the user has added to torch's list, of which a checkpoint may contain instances."""
    added = torch.serialization.get_safe_globals()
    objects = [entry[0] if isinstance(entry, tuple) else entry for entry in added]
    return tuple(kind for kind in objects if isinstance(kind, type))
