"""Compares the checksums of a checkpoint file.

``torch.save`` writes a zip file with a checksum (CRC-32) of every tensor, and ``torch.load`` ignores it: a bit that
flipped on a disk or on the way becomes a wrong weight without a word. Comparing takes a third of the time of loading
and runs beside it.

Delete when ``torch.load`` compares the checksums.
"""

import os
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

from mmdiffperc.files import brief

_CHUNK = 2**20  # bytes


def find_damage(path: str | Path) -> str | None:
    """Return what is wrong with a file of ``torch.save``, or None if it is as it was written.

    Args:
        path (str | Path): A local file in the zip format, which ``torch.save`` has written since torch 1.6.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            _compare_checksums(archive, os.path.getsize(path))
    except Exception as error:  # a damaged table of contents can make zipfile fail in any way
        return f'{type(error).__name__}: {brief(str(error))}'
    return None


def _compare_checksums(archive, file_size):
    records = archive.infolist()
    if sum(record.compress_size for record in records) > file_size:  # keeps crafted files from being read forever
        raise zipfile.BadZipFile('its records are larger than the file')
    for record in records:
        # `torch.serialization.set_crc32_options(False)` writes zeros, and torch never compresses.
        if record.CRC and record.compress_type == zipfile.ZIP_STORED:
            with archive.open(record) as file:
                while file.read(_CHUNK):
                    pass


@contextmanager
def verified(path: str | Path) -> Iterator[None]:
    """Compare the checksums of a checkpoint file while the body of the ``with`` statement loads it.

    Files of the format before torch 1.6 have no checksums and pass.

    Args:
        path (str | Path): A local file.

    Raises:
        RuntimeError: On leaving: the file is damaged.
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
                    f'{path} is damaged: its content does not match the checksums in it ({damage.result()}). Get it '
                    'again from its source, or use another checkpoint.'
                )
