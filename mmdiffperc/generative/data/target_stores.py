"""Stores of target maps: an lmdb, or a folder of files."""

import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from mmdiffperc.files import brief, quoted
from mmdiffperc.nearest import what_is_there
from mmdiffperc.progress import progress

from .target_files import MOST_BYTES, SUFFIXES

LONGEST_KEY = 511  # bytes, the default of LMDB
# What the official tools of DMP append to the key of an image: a hyphen and one of these, for albedo and shading.
EXTRA_KEYS = 'r', 's'

# LMDB environments by device and number of the file, with the process that opened them: a fork inherits those of its
# parent. A path can name another file later.
_environments: dict[tuple[int, int], tuple] = {}


class LmdbTargets:
    """Targets in an lmdb, a folder with ``data.mdb`` or a single file; :func:`find_keys` lists the keys, in UTF-8.

    Each process opens the database read-only when it first reads from it, so an object can be pickled and survives a
    fork.

    Args:
        path (str | Path): The folder or file.
    """

    def __init__(self, path: str | Path):
        self.path = str(path)

    def keys(self) -> list[str]:
        """Return all keys, in the order of their bytes."""
        with open_environment(self.path).begin() as transaction, transaction.cursor() as cursor:
            return [key.decode(errors='replace') for key in cursor.iternext(values=False)]

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Return the keys that the database lacks.

        Raises:
            ValueError: A key is too long.
        """
        with open_environment(self.path).begin() as transaction, transaction.cursor() as cursor:
            return [key for key in keys if not cursor.set_key(encode_key(key))]

    def describe(self, keys: Sequence[str]) -> str:
        """Describe which of several entries was sought, and what the database holds."""
        with open_environment(self.path).begin() as transaction, transaction.cursor() as cursor:
            first = brief(cursor.key().decode(errors='replace')) if cursor.first() else 'none'
            number = transaction.stat()['entries']
        return f'looked for the entry {_either(keys)}; {self.path} has {number} entries, the first being {first}'

    def read(self, key: str) -> tuple[bytes, str]:
        """Read an entry.

        Returns:
            tuple[bytes, str]: Its content and its name, for messages.

        Raises:
            FileNotFoundError: There is no such entry.
            ValueError: The database is damaged, or the entry is too large.
        """
        environment, name = open_environment(self.path), f'{self.path}, entry {brief(key)}'
        try:
            with environment.begin(buffers=True) as transaction:  # nothing is copied before its size is checked
                entry = transaction.get(encode_key(key))
                if entry is None:
                    raise FileNotFoundError(f'{name}: no such entry')
                if len(entry) > MOST_BYTES:
                    raise ValueError(
                        f'{name}: {len(entry)} bytes, at most {MOST_BYTES} are read; create the database again'
                    )
                return bytes(entry), name
        except import_lmdb().Error as error:
            raise ValueError(f'{name}: damaged database ({error}); create it again') from error


class FolderTargets:
    """Targets in a folder, in files named after the images: ``.npz``, otherwise ``.npy``, otherwise ``.png``.

    Args:
        path (str | Path): The folder.
        suffixes (Sequence[str]): The suffixes to look for, in this order. Default: these three.
    """

    def __init__(self, path: str | Path, suffixes: Sequence[str] = SUFFIXES):
        self.path = Path(path)
        self.suffixes = suffixes

    def missing(self, keys: Iterable[str]) -> list[str]:
        """Return the images without a file."""
        return [key for key in progress(keys, self.path.name, 'target') if self._find(key) is None]

    def describe(self, keys: Sequence[str]) -> str:
        """Describe which of several files was sought, and what the folder holds."""
        stems = dict.fromkeys(str(Path(key).with_suffix('')) for key in keys)
        suffixes = ', '.join(self.suffixes)
        return f'looked for the file {_either(stems)} ({suffixes}); {what_is_there(str(self.path), self.suffixes[-1])}'

    def read(self, key: str) -> tuple[bytes, str]:
        """Read a file.

        Returns:
            tuple[bytes, str]: Its content and its name, for messages.

        Raises:
            FileNotFoundError: There is no such file.
        """
        if (file := self._find(key)) is None:
            raise FileNotFoundError(f'{self.path / key}: no such target with one of the suffixes {self.suffixes}')
        return file.read_bytes(), str(file)

    def _find(self, key):
        files = ((self.path / key).with_suffix(suffix) for suffix in self.suffixes)
        return next((file for file in files if file.is_file()), None)


def open_targets(path: str | Path) -> LmdbTargets | FolderTargets:
    """Open the targets in a folder of files, or in an lmdb, which is a folder with ``data.mdb`` or a single file.

    Raises:
        FileNotFoundError: There is no such path.
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f'{path}: no such lmdb or folder of targets; check data_root and target_path')
    return LmdbTargets(path) if is_lmdb(path) else FolderTargets(path)


def is_lmdb(path: Path) -> bool:
    """Return whether a path is a file, or a folder with ``data.mdb``."""
    return path.is_file() or (path / 'data.mdb').exists()


def find_keys(targets: LmdbTargets | FolderTargets, names: Sequence[str], extra_key: str | None = None) -> list[str]:
    """Find the keys of the targets of images. All keys of a store have the same form.

    The key of an image is its name, or in the databases of DMP's official tools :func:`official_key`.

    Args:
        targets (LmdbTargets | FolderTargets): The store.
        names (Sequence[str]): Names of the images.
        extra_key (str, optional): Look only for official keys with this extra key; '' means without one. Default: look
            for the names, then for official keys without an extra key, then for those of ``EXTRA_KEYS``.

    Raises:
        FileNotFoundError: In every form, at least one target is missing; the message names the forms.
        ValueError: The store has several targets of an image, or several images have the same key.
    """
    official = ('', *EXTRA_KEYS) if extra_key is None else (extra_key,)
    forms = {extra: [official_key(name, extra) for name in names] for extra in official}
    if extra_key is None:
        forms = {None: list(names)} | forms
    missing = {}
    for extra, keys in forms.items():
        missing[extra] = targets.missing(keys)
        if not missing[extra] and extra not in EXTRA_KEYS:
            break
    found = [extra for extra, lacking in missing.items() if not lacking]
    if not found:
        raise _missing_error(targets, names, forms, missing)
    if len(found) > 1:
        raise ValueError(
            f'{targets.path} has several targets of each image, such as {quoted(forms[extra][0] for extra in found)}; '
            f'set target_extra_key (evaluate_targets.py: --extra-key) to one of {found}'
        )
    check_unique(names, forms[found[0]])
    return forms[found[0]]


def official_key(name: str, extra_key: str = '') -> str:
    """Return the key that DMP's official tools give an image: its name up to the first dot, and ``-extra_key``."""
    key = name.partition('.')[0] or name  # a name may begin with a dot
    return f'{key}-{extra_key}' if extra_key else key


def check_unique(names: Sequence[str], keys: Sequence[str]):
    """Check that no two images have the same key.

    Raises:
        ValueError: Two have.
    """
    owners = {}
    for name, key in zip(names, keys, strict=True):
        if (other := owners.setdefault(key, name)) != name:
            raise ValueError(
                f'{brief(other)} and {brief(name)} have the same key {brief(key)}, the name up to the first dot; '
                'rename one of them, or pack the targets with whole names as keys (projects/dmp/tools/pack_lmdb.py)'
            )


def encode_key(key: str) -> bytes:
    """Encode the name of an image as the key of its target.

    Raises:
        ValueError: It is too long.
    """
    if len(encoded := key.encode()) > LONGEST_KEY:
        raise ValueError(f'{brief(key)}: a key of an lmdb has at most {LONGEST_KEY} bytes, this one {len(encoded)}')
    return encoded


def import_lmdb() -> ModuleType:
    """Import lmdb, which only targets in this format need.

    Raises:
        ImportError: It is not installed.
    """
    try:
        import lmdb
    except ImportError as error:
        raise ImportError("Targets in an lmdb need the package lmdb: pip install 'mmdiffperc[dmp]'") from error
    return lmdb


def open_environment(path: str):
    """Return this process's environment (``lmdb.Environment``) of a database.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a database, or was cut short, which would make LMDB crash with a bus error.
    """
    file = Path(path) / 'data.mdb' if Path(path).is_dir() else Path(path)
    status = file.stat()
    identity = status.st_dev, status.st_ino
    process, environment = _environments.get(identity, (None, None))
    if process == os.getpid():
        return environment
    if environment is not None:
        environment.close()  # LMDB forbids using it after a fork
    _environments[identity] = os.getpid(), _open(path, file)
    return _environments[identity][1]


def _open(path, file):
    lmdb = import_lmdb()
    try:
        environment = lmdb.open(path, subdir=file != Path(path), readonly=True, lock=False, readahead=False)
    except lmdb.Error as error:
        raise ValueError(f'{file}: damaged, or not an LMDB database ({error}); create it again') from error
    expected = (environment.info()['last_pgno'] + 1) * environment.stat()['psize']
    if file.stat().st_size < expected:
        environment.close()
        raise ValueError(f'{file}: cut short, {file.stat().st_size} of {expected} bytes; copy or create it again')
    return environment


def new_database(folder: Path, map_size: int):
    """Create a database (``lmdb.Environment``), which the caller synchronises and closes.

    Args:
        folder (Path): An empty folder.
        map_size (int): Maximum size in bytes; the file takes only what it needs.

    Raises:
        ImportError: The package lmdb is not installed.
    """
    # It is read only once it is complete, so it needs no lock and is written to the disk once, at the end.
    return import_lmdb().open(str(folder), map_size=map_size, lock=False, sync=False)


def put(database, name: str, content: bytes):
    """Store a target under the name of its image.

    Raises:
        ValueError: The name is too long for a key.
    """
    with database.begin(write=True) as transaction:
        transaction.put(encode_key(name), content)


@contextmanager
def lmdb_errors(folder: Path) -> Iterator[None]:
    """Convert an error of LMDB while writing, such as a full disk, to an ``OSError`` that names the folder."""
    try:
        yield
    except import_lmdb().Error as error:
        raise OSError(
            f'{folder}: {error}; the incomplete database was removed. Check that the disk is not full'
        ) from error


def _either(keys):
    return ' or '.join(map(brief, keys))


def _missing_error(targets, names, forms, missing):
    """Name an image of the form in which the fewest targets are missing."""
    extra, lacking = min(missing.items(), key=lambda pair: len(pair[1]))
    index = forms[extra].index(lacking[0])
    return FileNotFoundError(
        f'{len(lacking)} of {len(names)} targets are missing in {targets.path}, such as the one of '
        f'{brief(names[index])}: {targets.describe([keys[index] for keys in forms.values()])}'
    )
