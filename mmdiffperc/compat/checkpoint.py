"""Loads checkpoints of mmengine and of research code, and executes nothing that a file asks for.

Since torch 2.6 ``torch.load`` builds tensors and plain containers only, and so refuses mmengine's own checkpoints,
which also hold ``HistoryBuffer``, NumPy scalars and methods. Passing ``weights_only=False`` would run any code in a
downloaded file. Instead, torch's own restricted unpickler is told about the few harmless types that such files contain
(``SAFE_GLOBALS``). The list holds for every ``torch.load``, thus for ``mim test``, ``--resume``, ``load_from``,
``init_model`` and downloads; local files also go through :func:`load_file`, whose errors name the file.

Delete when mmengine loads its own checkpoints on torch >= 2.6, and call ``torch.load`` instead of :func:`load_file`.
"""

import datetime
import pathlib
import pickle
import re
import zipfile
from argparse import Namespace
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from mmengine.config import ConfigDict
from mmengine.logging import HistoryBuffer
from mmengine.optim import OneCycleParamScheduler
from mmengine.runner import CheckpointLoader

from mmdiffperc.compat.checkpoint_integrity import verified

# Pickles name a method as ``getattr(class, name)``; these are the ones that mmengine's objects hold.
METHODS = {
    HistoryBuffer: ('min', 'max', 'current', 'mean'),
    OneCycleParamScheduler: ('_annealing_cos', '_annealing_linear'),
}


def safe_getattr(owner: Any, name: str) -> Callable:
    """The ``getattr`` that a checkpoint gets: it answers for the methods in ``METHODS`` and for nothing else."""
    if not isinstance(owner, type) or name not in METHODS.get(owner, ()):
        label = getattr(owner, '__qualname__', type(owner).__qualname__)
        raise pickle.UnpicklingError(f'Unsupported global: GLOBAL getattr({label},{name!r})')
    return getattr(owner, name)


class LightningCallback:
    """Takes the place of a Lightning class that Stable Diffusion files use as the key of training state."""


def _numpy_globals() -> list:
    """What arrays and scalars of numbers and strings pickle to, under the module names of NumPy 1 and 2.

    Object and structured types are left out: their state can hold anything.
    """
    functions = (np.float64(0).__reduce__()[0], np.zeros(1).__reduce__()[0])
    renamed = [(f, f'numpy.{core}.multiarray.{f.__name__}') for f in functions for core in ('core', '_core')]
    dtypes = {type(np.dtype(code)) for code in np.typecodes['All'] if code not in 'OV'}
    return [np.ndarray, np.dtype, *dtypes, *renamed]


def _path_globals() -> list:
    """Paths of either system, wherever they were saved; ``_local`` is where Python 3.13 keeps the classes."""
    classes = {'PosixPath': pathlib.PurePosixPath, 'WindowsPath': pathlib.PureWindowsPath}
    return [(cls, f'{module}.{name}') for module in ('pathlib', 'pathlib._local') for name, cls in classes.items()]


SAFE_GLOBALS = [
    *METHODS,
    (safe_getattr, 'builtins.getattr'),
    ConfigDict,
    Namespace,
    datetime.datetime,
    datetime.date,
    datetime.timedelta,
    datetime.timezone,
    (LightningCallback, 'pytorch_lightning.callbacks.model_checkpoint.ModelCheckpoint'),
    *_numpy_globals(),
    *_path_globals(),
]


def _refusal(path: pathlib.Path, error: Exception) -> Exception:
    """Turns an error of the unpickler into one that names the file and, where there is one, the forbidden name."""
    forbidden = re.search(r'GLOBAL (\S+)', str(error))
    if forbidden:
        return pickle.UnpicklingError(
            f'{path} was refused: it asks for `{forbidden[1]}`, which a checkpoint has no need of. Nothing in the file '
            'was executed. If it is a harmless type of your own, and you trust the file, allow it with '
            '`torch.serialization.add_safe_globals`.'
        )
    reason = str(error).rpartition('WeightsUnpickler error: ')[2].strip().partition('. ')[0].partition('\n')[0]
    return RuntimeError(
        f'{path} could not be loaded as a PyTorch checkpoint ({type(error).__name__}: {reason}). If it was copied or '
        'downloaded it may be incomplete: compare its size with the source, or get it again.'
    )


def load_file(path: str | pathlib.Path, map_location: Any = 'cpu', mmap: bool = False) -> Any:
    """Loads a ``.pth``, ``.ckpt`` or ``.bin`` file of ``torch.save`` without executing anything in it.

    Args:
        path (str | Path): A local file.
        map_location (Any): As in ``torch.load``. Defaults to 'cpu'.
        mmap (bool): Map the file instead of reading it, so that a tensor takes memory only once it is used. Files of
            the format before torch 1.6 cannot be mapped and are read. Defaults to False.

    Returns:
        Any: What was saved.

    Raises:
        FileNotFoundError: There is no such file.
        pickle.UnpicklingError: The file asks for something that could execute code.
        RuntimeError: The file is truncated, damaged, or not a checkpoint.
    """
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'The checkpoint {path} does not exist or is not a file.')
    try:
        mmap = mmap and zipfile.is_zipfile(path)
        return torch.load(path, map_location=map_location, weights_only=True, mmap=mmap)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a damaged file can make the unpickler fail in any way
        raise _refusal(path, error) from error


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """mmengine's loader of local files; it logs the last part of this function's name."""
    path = pathlib.Path(filename).expanduser()
    with verified(path):
        return load_file(path, map_location)


def install() -> None:
    """Registers the allow-list with torch and :func:`load_file` with mmengine."""
    torch.serialization.add_safe_globals(SAFE_GLOBALS)
    CheckpointLoader.register_scheme(prefixes='', loader=load_from_local, force=True)
