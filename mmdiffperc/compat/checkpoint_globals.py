"""What a checkpoint may build: torch's list, without calls that take memory by a number, and a few types more.

Since torch 2.6 ``torch.load`` builds tensors and plain containers only, and so refuses mmengine's own checkpoints,
which also hold ``HistoryBuffer``, NumPy scalars and methods. Passing ``weights_only=False`` would run any code in a
file. Instead, while this package or mmengine loads a checkpoint, torch's restricted unpickler is given the few harmless
types that such files contain, and loses some calls of its own list. Any other ``torch.load`` stays as it is.

Delete together with :mod:`mmdiffperc.compat.checkpoint`.
"""

import datetime
import functools
import pathlib
import pickle
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

from .bounded_unpickler import BoundedUnpickler
from .checkpoint_arrays import numpy_globals


class LoadedHistory(HistoryBuffer):
    """Stand in for ``HistoryBuffer``, whose state would replace the statistics of the class."""

    def __setstate__(self, state: dict):
        """Take the numbers, and become mmengine's class, so that it is saved as that."""
        histories = [state['_log_history'], state['_count_history']]
        if any(not isinstance(history, np.ndarray) or history.dtype.kind not in 'biuf' for history in histories):
            raise ValueError('the history of a log value was expected to be an array of numbers')
        self.__init__(*histories, max_length=int(state['max_length']))
        self.__class__ = HistoryBuffer


# Pickles name a method as ``getattr(class, name)``; these are the ones that mmengine's objects hold.
METHODS = {
    LoadedHistory: ('min', 'max', 'current', 'mean'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}


def safe_getattr(owner: Any, name: str) -> Callable:
    """Return one of the methods in ``METHODS``: the ``getattr`` that a checkpoint gets."""
    if not isinstance(owner, type) or name not in METHODS.get(owner, ()):
        label = getattr(owner, '__qualname__', type(owner).__qualname__)
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL getattr({label},{str(name)[:40]!r})')
    return getattr(owner, name)


class LightningCallback:
    """Take the place of a Lightning class that Stable Diffusion files use as the key of training state."""


class TensorType:
    """Take the place of ``torch.Tensor``, which a pickle names as the type of a tensor and could call with a length."""


def encode_bytes(text: str, encoding: str) -> bytes:
    """Return bytes: the ``_codecs.encode`` of pickles, with the one encoding that they use for bytes."""
    if encoding != 'latin1':
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL _codecs.encode({str(encoding)[:40]!r})')
    return text.encode('latin1')


def byte_array(*content) -> bytearray:
    """Return a ``bytearray`` of given bytes, never of a given length."""
    if content and not isinstance(content[0], (bytes, str)):
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL bytearray({str(content[0])[:40]})')
    return bytearray(*content)


def empty_bytes() -> bytes:
    """Return no bytes, which pickles write as a call; others are encoded text."""
    return b''


def rebuild_plain(rebuild: Callable, kind: Any, args: tuple, state: Any) -> Tensor:
    """Return the tensor without the Python attributes it had: the ``_rebuild_from_type_v2`` of a checkpoint."""
    if rebuild not in torch_unpickler._tensor_rebuild_functions():
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL {getattr(rebuild, "__name__", "unknown")}')
    return rebuild(*args)


def rebuild_parameter(data: Tensor, requires_grad: bool, hooks: Any, state: Any) -> Tensor:
    """Return the parameter without its attributes."""
    return torch._utils._rebuild_parameter(data, requires_grad, hooks)


def _path_globals() -> list[tuple]:
    """List paths of either system, wherever they were saved; ``_local`` is where Python 3.13 keeps the classes."""
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

# In torch's own list, with more power than a checkpoint needs.
_GUARDED = {
    'builtins.bytearray': byte_array,
    '_codecs.encode': encode_bytes,
    'torch.Tensor': TensorType,
    'torch._tensor._rebuild_from_type_v2': rebuild_plain,
    'torch._utils._rebuild_parameter_with_state': rebuild_parameter,
}
_REMOVED = ('torch.storage.TypedStorage', 'torch._utils._rebuild_wrapper_subclass')


class _Lists(threading.local):
    """What may be built for the checkpoint that a thread is loading; None while it is loading none."""

    built_in: dict[str, Any] | None = None
    added: dict[str, Any] | None = None


_lists = _Lists()


@contextmanager
def restricted() -> Iterator[None]:
    """Limit what torch's unpickler builds in this thread. All other loading in the process keeps torch's own lists."""
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


class _UnpicklerOfThread(BoundedUnpickler):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        if _lists.built_in is None:
            self.memo = {}  # as torch has it


def install() -> None:
    """Have torch ask for the lists of the thread that loads."""
    torch_unpickler._get_allowed_globals = _of_thread(torch_unpickler._get_allowed_globals, 'built_in')
    torch_unpickler._get_user_allowed_globals = _of_thread(torch_unpickler._get_user_allowed_globals, 'added')
    torch_unpickler.Unpickler = _UnpicklerOfThread


def safe_types() -> tuple[type, ...]:
    """Return the types that a user has added to torch's list, whose instances a checkpoint may then hold."""
    added = torch.serialization.get_safe_globals()
    objects = [entry[0] if isinstance(entry, tuple) else entry for entry in added]
    return tuple(kind for kind in objects if isinstance(kind, type))
