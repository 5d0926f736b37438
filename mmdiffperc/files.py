"""Files: writing them completely or not at all, checking their names, reading text and JSON, and quoting values."""

import contextlib
import hashlib
import json
import os
import secrets
import shutil
import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePath
from typing import Any


def _name_of_system() -> str:
    """Identify the system that numbers the processes; a container numbers them differently from its host."""
    parts = [socket.gethostname()]
    for file in ('/proc/sys/kernel/random/boot_id', '/proc/self/ns/pid'):
        with contextlib.suppress(OSError):  # not on every system
            parts.append(os.readlink(file) if Path(file).is_symlink() else Path(file).read_text())
    return hashlib.sha256('\n'.join(parts).encode()).hexdigest()[:8]


# Limits of common file systems, in bytes.
LONGEST_NAME = 255
LONGEST_PATH = 1024
# Partial names contain the process id, so that several processes can write into one folder.
_PARTIAL = f'.part-{_name_of_system()}-'
_tidied: set[Path] = set()


@contextmanager
def whole_file(path: str | Path) -> Iterator[Path]:
    """Write a file that appears under its name when it is complete. After an error, an existing file is unchanged.

    Args:
        path (str | Path): The file to create or replace. Missing parent folders are created.

    Yields:
        Path: A temporary file name in the same folder and with the same suffix, to write to.
    """
    path = Path(path)
    if path.exists() and not path.is_file():  # a device or a pipe, such as /dev/stdout, has no content to protect
        yield path
        return
    partial = _partial_name(path)
    try:
        yield partial
        with partial.open('rb') as file:  # read mode, because the partial file may be a link to a read-only file
            os.fsync(file.fileno())  # some file systems do not report a full disk earlier
        os.replace(partial, path)
    except OSError as error:
        if error.errno and error.filename in (None, str(partial)):
            error.filename = str(path)  # the name that the user knows
        raise
    finally:
        partial.unlink(missing_ok=True)


def write_whole(path: str | Path, content: bytes | str):
    """Write the content of a file with :func:`whole_file`.

    Args:
        path (str | Path): The file to create or replace. Missing parent folders are created.
        content (bytes | str): The whole content. Text is encoded as UTF-8.

    Raises:
        OSError: The file cannot be written, for instance because the disk is full.
    """
    with whole_file(path) as partial:
        partial.write_bytes(content.encode() if isinstance(content, str) else content)


@contextmanager
def whole_folder(path: str | Path) -> Iterator[Path]:
    """Write a folder that appears under its name when it is complete.

    Args:
        path (str | Path): The folder to create. It may exist if it is empty. Missing parent folders are created.

    Yields:
        Path: A new, empty folder next to it, to write to.

    Raises:
        OSError: On exit: another process has written to ``path`` in the meantime.
    """
    path = Path(path)
    partial = _partial_name(path)
    partial.mkdir()
    try:
        yield partial
        os.replace(partial, path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


@contextmanager
def whole_files(folder: str | Path) -> Iterator[Path]:
    """Write several files that belong together, and appear in a folder when all of them are complete.

    Args:
        folder (str | Path): The folder. It is created if it is missing; files of the same names are replaced.

    Yields:
        Path: A new, empty folder in it, to write to.
    """
    partial = _partial_name(Path(folder) / 'files')
    partial.mkdir()
    try:
        yield partial
        for file in partial.iterdir():
            os.replace(file, Path(folder) / file.name)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def read_lines(path: str | Path) -> list[str]:
    """Read the lines of a text file in UTF-8, without blank lines.

    Raises:
        OSError: The file does not exist.
        ValueError: The file is not text, or has no lines.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: expected a text file, but it does not exist or is not a file')
    content = path.read_bytes()
    try:
        text = content.decode('utf-8-sig')  # some editors write a byte order mark
    except UnicodeDecodeError as error:
        raise ValueError(
            f'{path}: expected a text file in UTF-8, got {brief(content[:20])} ({error.reason})'
        ) from error
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise ValueError(f'{path}: expected at least one line of text, but the file is empty')
    return lines


def relative_name(name: str, where: str) -> str:
    """Check that a file name from a list does not lead out of the folder of the list.

    The check does not resolve symbolic links, so linked folders work.

    Args:
        name (str): The name, such as ``'kitchen/0001.png'``.
        where (str): The source of the name, for the message.

    Returns:
        str: The name.

    Raises:
        ValueError: The name is empty, absolute or too long, contains ``..``, or is not a valid file name.
    """
    pure = PurePath(name) if isinstance(name, str) else PurePath()
    leads_out = pure.is_absolute() or pure.drive or '..' in pure.parts
    if not pure.parts or leads_out or not _is_storable(name):
        raise ValueError(
            f"{where}: expected a file name relative to the list's own folder and without '..', got {brief(name)}"
        )
    return name


def read_json(path: str | Path) -> dict:
    """Read a JSON file that contains an object, such as a config.

    Raises:
        ValueError: The file contains anything else, is damaged, or is nested too deeply.
    """
    try:
        content = json.loads(Path(path).read_bytes())
    except (ValueError, RecursionError) as error:
        reason = brief(str(error))
        raise ValueError(
            f'{path}: expected a JSON object {{...}}, but the file is damaged or not JSON ({reason})'
        ) from error
    if not isinstance(content, dict):
        raise ValueError(f'{path}: expected a JSON object {{...}}, got {brief(content)}')
    return content


def brief(value: object, length: int = 100) -> str:
    """Quote a value of unknown size in a message, without building its whole representation.

    Args:
        value (object): The value. Containers are quoted to a depth of three levels, with eight entries each.
        length (int): Maximum number of characters. Defaults to 100.
    """
    quoted = _quote(value, depth=3, length=length)
    return quoted if len(quoted) <= length else f'{quoted[: length - 3]}...'


def quoted(names: Iterable[object], limit: int = 8) -> str:
    """Quote names in a sentence: ``'wall', 'crack' and 3 more``.

    Args:
        names (Iterable): The names.
        limit (int): Number of names that are shown. Defaults to 8.
    """
    names = list(names)
    shown = ', '.join(brief(name) for name in names[:limit])
    return f'{shown} and {len(names) - limit} more' if len(names) > limit else shown


def spread(items: Sequence[Any], number: int = 50) -> list[Any]:
    """Return at most ``number`` evenly spaced items, a fair sample of files that are sorted by scene."""
    count = min(len(items), number)
    return [items[index * len(items) // count] for index in range(count)]


def _is_storable(name):
    try:
        encoded = name.encode()
    except UnicodeEncodeError:  # JSON can contain lone surrogates
        return False
    is_short = len(encoded) <= LONGEST_PATH and all(len(part) <= LONGEST_NAME for part in encoded.split(b'/'))
    return is_short and b'\0' not in encoded


def _quote(value, depth, length):
    if isinstance(value, (str, bytes)):
        return repr(value[:length])
    if isinstance(value, int) and value.bit_length() > length:  # formatting a huge number takes very long
        return f'a number of {value.bit_length()} bits'
    if isinstance(value, (int, float, complex, type(None))):
        return repr(value)
    if isinstance(value, (list, tuple, set, frozenset, dict)) and depth:
        entries = [_quote(entry, depth - 1, length) for entry, _ in zip(value, range(8), strict=False)]
        return f'{type(value).__name__} of {len(value)} ({", ".join(entries)}{", ..." if len(value) > 8 else ""})'
    return type(value).__name__


def _partial_name(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(path.parent)
    return path.with_name(f'{_PARTIAL}{os.getpid()}-{secrets.token_hex(4)}{path.suffix}')


def _remove_abandoned(folder):
    """Remove partial files of killed processes on this system. Each folder is searched once."""
    folder = folder.absolute()
    if folder in _tidied:
        return
    _tidied.add(folder)
    for path in folder.glob(f'{_PARTIAL}*'):
        process = path.name.removeprefix(_PARTIAL).partition('-')[0]
        if process.isdigit() and not _is_running(int(process)):
            with contextlib.suppress(OSError):  # another process may have removed it
                shutil.rmtree(path) if path.is_dir() else path.unlink()


def _is_running(process):
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
