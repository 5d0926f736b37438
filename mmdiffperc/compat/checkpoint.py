"""Load checkpoints of mmengine and of research code without executing anything in them.

:mod:`.checkpoint_unpickler` limits what torch's restricted unpickler builds, :mod:`.checkpoint_content` checks the
result, and :mod:`.stored_config` removes the stored config, which hosts would execute. Every checkpoint that mmengine
loads passes :func:`checked_checkpoint`, whatever its prefix: in ``mim test``, ``--resume``, ``load_from``,
``init_model`` and the inferencers. Local files go through :func:`load_file`, whose errors name the file.

``torch.save`` writes a zip file with a checksum (CRC-32) of every tensor, and ``torch.load`` ignores it, so that a
flipped bit silently becomes a wrong weight. Local files are therefore compared with their checksums.

Delete when mmengine loads its own checkpoints on torch >= 2.6 and executes nothing in them, and ``torch.load`` compares
the checksums; call ``torch.load`` instead of :func:`load_file`.
"""

import functools
import os
import pathlib
import pickle
import re
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext
from typing import Any, NoReturn

import torch
from mmengine.runner import CheckpointLoader

from mmdiffperc.files import brief
from mmdiffperc.progress import progress

from . import checkpoint_unpickler
from .checkpoint_content import check_plain, check_weights
from .checkpoint_unpickler import restricted
from .sharded_checkpoint import is_sharded, load_whole
from .stored_config import forget_stored_config

_CHUNK = 2**20  # bytes


def find_damage(path: str | pathlib.Path) -> str | None:
    """Return what is wrong with a file of ``torch.save``, or None if its checksums are correct.

    Args:
        path (str | Path): A local file in the zip format, which ``torch.save`` writes since torch 1.6.
    """
    try:
        size = os.path.getsize(path)
        with (
            zipfile.ZipFile(path) as archive,
            progress(None, pathlib.Path(path).name, 'B', total=size, unit_scale=True) as bar,
        ):
            _compare_checksums(archive, size, bar)
    except Exception as error:  # a damaged table of contents can make zipfile fail in any way
        return f'{type(error).__name__}: {brief(str(error))}'
    return None


def _compare_checksums(archive, file_size, bar):
    records = archive.infolist()
    if sum(record.compress_size for record in records) > file_size:  # crafted files could be read forever
        raise zipfile.BadZipFile('its records are larger than the file')
    for record in records:
        # `torch.serialization.set_crc32_options(False)` writes zeros, and torch never compresses.
        if record.CRC and record.compress_type == zipfile.ZIP_STORED:
            with archive.open(record) as file:
                while chunk := file.read(_CHUNK):
                    bar.update(len(chunk))


@contextmanager
def verified(path: str | pathlib.Path) -> Iterator[None]:
    """Compare the checksums of a checkpoint file while the body of the ``with`` statement loads it.

    Comparing takes a third of the time of loading. Files in the format before torch 1.6 have no checksums and pass.

    Args:
        path (str | Path): A local file.

    Raises:
        RuntimeError: The file is damaged; raised on leaving.
    """
    if not zipfile.is_zipfile(path):
        yield
        return
    with ThreadPoolExecutor(1) as pool:
        damage = pool.submit(find_damage, path)
        try:
            yield
        finally:
            if damage.result():
                raise RuntimeError(
                    f'{path} is damaged: its content does not match its checksums ({damage.result()}). Get it '
                    'again from its source, or use another checkpoint.'
                )


def _refusal(path: pathlib.Path, error: Exception) -> Exception:
    """Turn an error of the unpickler into one that names the file and the forbidden name, if any."""
    forbidden = re.search(r'GLOBAL (\S+)', str(error))
    if forbidden:
        return pickle.UnpicklingError(
            f'{path} was refused: it refers to `{forbidden[1]}`, which a checkpoint does not need. Nothing in the file '
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
        mmap (bool): Map the file instead of reading it, so that a tensor takes memory only once it is used. Files in
            the format before torch 1.6 cannot be mapped and are read. Defaults to False.

    Returns:
        Any: What was saved.

    Raises:
        FileNotFoundError: The file does not exist.
        pickle.UnpicklingError: The file refers to something that could execute code.
        RuntimeError: The file is truncated, damaged, or not a checkpoint. Its checksums are compared unless it is
            mapped.
        ValueError: The file contains something other than plain data, see :func:`.check_plain`.
    """
    content = _read(path, map_location, mmap)
    _check_plain(content, path, map_location)
    return content


def _read(path, map_location, mmap=False):
    path = pathlib.Path(path).expanduser()
    if is_sharded(path):
        return load_whole(path, functools.partial(_read, map_location=map_location))
    if not path.is_file():
        raise FileNotFoundError(f'The checkpoint {path} does not exist or is not a file.')
    with nullcontext() if mmap else verified(path):  # a file is mapped so that only a part of it is read
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
    """Refuse compressed or overlapping records, whose content can be a thousand times as large as the file."""
    with zipfile.ZipFile(path) as archive:
        content = sum(record.file_size for record in archive.infolist())
        # TorchScript is also compressed, but torch refuses it.
        is_torchscript = any(name.endswith('constants.pkl') for name in archive.namelist())
    if content > path.stat().st_size and not is_torchscript:
        raise ValueError(f'its records have {content} bytes, more than the file: they are compressed or overlap')


def _check_plain(content, where, map_location):
    if str(map_location) != 'meta':  # tensors on it have no content
        check_plain(content, str(where))


def load_from_local(filename: str, map_location: Any = None) -> Any:
    """Load a local file for mmengine, which logs the last part of this function's name.

    To resume, mmengine asks for the tensors on the GPU, where weights and optimizer state would exist twice. They are
    loaded onto the CPU, from where they are copied tensor by tensor.
    """
    return _read(filename, map_location if str(map_location) == 'meta' else 'cpu')


class BareWeights(OrderedDict):
    """A dict of weights without a ``meta``, for which ``['meta']`` returns an empty dict.

    mmseg's ``init_model`` always reads ``checkpoint['meta']``. ``in`` and ``get`` behave as in any dict.

    Args:
        weights (dict): The weights.
        where (str): The file, for messages.
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
    """The ``meta`` of a file without one.

    Args:
        where (str): The file, for messages.
    """

    def __init__(self, where: str):
        super().__init__()
        self._where = where

    def __missing__(self, key: str) -> NoReturn:
        raise KeyError(
            f'{self._where} has no {key!r} in its meta, because it only has weights, so a training run cannot resume '
            'from it: start one from its weights with load_from'
        )


def checked_checkpoint(content: Any, where: str, map_location: Any = None) -> Any:
    """Check that a loaded checkpoint contains only data and finite weights, and remove what hosts would execute.

    Args:
        content (Any): What was loaded.
        where (str): Its file or URL, for messages.
        map_location (Any): The ``map_location`` with which it was loaded. Default: None.

    Returns:
        Any: The checkpoint.

    Raises:
        ValueError: It contains something else, see :func:`.check_plain` and :func:`.check_weights`.
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
    """Limit what torch builds for checkpoints, and replace how mmengine loads local files and checks all files."""
    checkpoint_unpickler.install()
    CheckpointLoader.register_scheme(prefixes='', loader=load_from_local, force=True)
    CheckpointLoader.load_checkpoint = classmethod(_checked(CheckpointLoader.load_checkpoint))
