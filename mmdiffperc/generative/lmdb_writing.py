"""Write a new lmdb into a folder that gets its name once it is whole, see :func:`.whole_folder`."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .target_stores import encode_key, import_lmdb


def new_database(folder: Path, map_size: int):
    """Create a database (``lmdb.Environment``), to be synchronised and closed by the caller.

    Args:
        folder (Path): An empty folder.
        map_size (int): The number of bytes that the database can hold; it takes only what it needs.

    Raises:
        ImportError: The package lmdb is not installed.
    """
    # Nobody reads it before it is whole, so that it needs no lock and reaches the disk once, at the end.
    return import_lmdb().open(str(folder), map_size=map_size, lock=False, sync=False)


def put(database, name: str, content: bytes):
    """Store a target under the name of its image.

    Raises:
        ValueError: The name is longer than the keys of an lmdb can be.
    """
    with database.begin(write=True) as transaction:
        transaction.put(encode_key(name), content)


@contextmanager
def lmdb_errors(folder: Path) -> Iterator[None]:
    """Turn an error of LMDB while writing, such as a full disk, into that of any other file.

    Args:
        folder (Path): What is being written, for the message.

    Raises:
        OSError: LMDB has raised an error.
    """
    try:
        yield
    except import_lmdb().Error as error:
        raise OSError(f'{folder}: {error}; nothing is left of it. Check that the disk is not full') from error
