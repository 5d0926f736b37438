"""Read many files, some of which may be damaged."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .image_files import read_image


class TolerantReader:
    """Read files one by one; one that cannot be read does not stop the others, and all of them are reported at the end.

    .. code-block:: python

        with TolerantReader() as read:
            for path in paths:
                if (image := read(path)) is not None:
                    ...

    Args:
        read (Callable): Reads a file, and raises ``OSError`` or ``ValueError`` with the file's name if it cannot.
            Default: :func:`.read_image`.

    Raises:
        ValueError: On leaving: some files could not be read. The message names each of them and the reason.
    """

    def __init__(self, read: Callable[[Path], np.ndarray] = read_image):
        self._read = read
        self._count = 0
        self._reasons = []

    def __call__(self, path: Path) -> np.ndarray | None:
        """Read a file; return None if it cannot be read."""
        with self.attempt():
            return self._read(path)

    @contextmanager
    def attempt(self) -> Iterator[None]:
        """Record an error in the body of a ``with`` statement, which reads one file."""
        self._count += 1
        try:
            yield
        except (OSError, ValueError) as error:
            self._reasons.append(str(error))

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if error is not None or not self._reasons:
            return
        if self._count == 1:
            raise ValueError(self._reasons[0])
        reasons = '\n    '.join(self._reasons)
        raise ValueError(
            f'{len(self._reasons)} of {self._count} files could not be read; all others are done:\n    {reasons}'
        )
