"""Load checkpoints of mmengine and of research code, and execute nothing that a file asks for.

:mod:`.checkpoint_globals` and :mod:`.bounded_unpickler` limit what torch's restricted unpickler builds,
:mod:`.checkpoint_content` checks the result, and :mod:`.stored_config` keeps the config inside it from being executed.
Every checkpoint that mmengine loads passes :func:`checked_checkpoint`, whatever its prefix: in ``mim test``,
``--resume``, ``load_from``, ``init_model`` and the inferencers. Local files go through :func:`load_file`, whose errors
name the file.

Delete when mmengine loads its own checkpoints on torch >= 2.6 and executes nothing in them, and call ``torch.load``
instead of :func:`load_file`.
"""

import functools
import pathlib
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, NoReturn

import torch
from mmengine.runner import CheckpointLoader

from . import checkpoint_globals
from .checkpoint_content import check_plain, check_weights
from .checkpoint_globals import restricted
from .checkpoint_integrity import verified
from .stored_config import forget_stored_config


def _refusal(path: pathlib.Path, error: Exception) -> Exception:
    """Turn an error of the unpickler into one that names the file and, where there is one, the forbidden name."""
    forbidden = re.search(r'GLOBAL (\S+)', str(error))
    if forbidden:
        return pickle.UnpicklingError(
            f'{path} was refused: it asks for `{forbidden[1]}`, which a checkpoint does not need. Nothing in the file '
            'was executed. If it is a harmless type of your own, and you trust the file, allow it with '
            '`torch.serialization.add_safe_globals`.'
        )
    reason = str(error).rpartition('WeightsUnpickler error: ')[2].strip().partition('. ')[0].partition('\n')[0]
    return RuntimeError(
        f'{path} could not be loaded as a PyTorch checkpoint ({type(error).__name__}: {reason}). If it was copied or '
        'downloaded it may be incomplete: compare its size with the source, or get it again.'
    )


def load_file(path: str | pathlib.Path, map_location: Any = 'cpu', mmap: bool = False) -> Any:
    """Load a ``.pth``, ``.ckpt`` or ``.bin`` file of ``torch.save`` without executing anything in it.

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
        RuntimeError: The file is truncated, damaged, or not a checkpoint. The checksums in it are compared unless it is
            mapped.
        ValueError: It holds something other than plain data, see :func:`.check_plain`.
    """
    content = _read(path, map_location, mmap)
    _check_plain(content, path, map_location)
    return content


def _read(path, map_location, mmap=False):
    path = pathlib.Path(path).expanduser()
    if not path.is_file():
        raise FileNotFoundError(f'The checkpoint {path} does not exist or is not a file.')
    with nullcontext() if mmap else verified(path):  # mapping a file is meant to read only a part of it
        return _unpickle(path, map_location, mmap)


def _unpickle(path, map_location, mmap):
    try:
        is_zip = zipfile.is_zipfile(path)
        if is_zip:
            _refuse_inflation(path)
        with restricted():
            return torch.load(path, map_location=map_location, weights_only=True, mmap=mmap and is_zip)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a damaged file can make the unpickler fail in any way
        raise _refusal(path, error) from error


def _refuse_inflation(path):
    """Refuse compressed or shared records, which can hold a thousand times the size of the file; torch writes none."""
    with zipfile.ZipFile(path) as archive:
        content = sum(record.file_size for record in archive.infolist())
        # Compressed, too, but refused by torch itself.
        is_torchscript = any(name.endswith('constants.pkl') for name in archive.namelist())
    if content > path.stat().st_size and not is_torchscript:
        raise ValueError(f'its records have {content} bytes, more than the file: they are compressed or overlap')


def _check_plain(content, where, map_location):
    if str(map_location) != 'meta':  # asked for: then no tensor has content
        check_plain(content, str(where))


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Load a local file for mmengine, which logs the last part of this function's name."""
    return _read(filename, map_location)


class BareWeights(OrderedDict):
    """A dict of weights without a ``meta``; asking for one gives an empty dict.

    mmseg's ``init_model`` looks into ``checkpoint['meta']`` in any case. ``in`` and ``get`` answer as for any dict.

    Args:
        weights (dict): The weights.
        where (str): Their file, for messages.
    """

    def __init__(self, weights: dict, where: str):
        super().__init__(weights)
        self.__dict__.update(getattr(weights, '__dict__', {}))  # versions of the modules, as ``_metadata``
        self._where = where

    def __missing__(self, key: str) -> dict:
        if key != 'meta':
            raise KeyError(key)
        return NoMeta(self._where)

    def copy(self) -> 'BareWeights':
        """Return a shallow copy."""
        return BareWeights(self, self._where)

    def __reduce__(self) -> tuple:
        return OrderedDict(self).__reduce__()


class NoMeta(dict):
    """The ``meta`` of a file that has none.

    Args:
        where (str): The file, for messages.
    """

    def __init__(self, where: str):
        super().__init__()
        self._where = where

    def __missing__(self, key: str) -> NoReturn:
        raise KeyError(
            f'{self._where} holds weights without the meta of a training, such as {key!r}, so none can resume from it: '
            'start one from its weights with load_from'
        )


def checked_checkpoint(content: Any, where: str, map_location: Any = None) -> Any:
    """Check that a loaded checkpoint holds nothing but data and finite weights, and remove what hosts would execute.

    Args:
        content (Any): What was loaded.
        where (str): Its file or address, for messages.
        map_location (Any): With which it was loaded. Default: none.

    Returns:
        Any: The checkpoint.

    Raises:
        ValueError: It holds something else, see :func:`.check_plain` and :func:`.check_weights`.
    """
    _check_plain(content, where, map_location)
    check_weights(content, where)
    if not isinstance(content, dict):
        return content
    forget_stored_config(content)
    return content if 'meta' in content else BareWeights(content, where)


def _checked(load: Callable) -> Callable:
    @functools.wraps(load)
    def load_checked(cls, filename, map_location=None, logger='current'):
        with restricted():
            content = load(filename, map_location, logger)
        return checked_checkpoint(content, filename, map_location)

    return load_checked


def install() -> None:
    """Limit what torch builds for checkpoints, and give mmengine the loader of local files and the check of all."""
    checkpoint_globals.install()
    CheckpointLoader.register_scheme(prefixes='', loader=load_from_local, force=True)
    CheckpointLoader.load_checkpoint = classmethod(_checked(CheckpointLoader.load_checkpoint))
