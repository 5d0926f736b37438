"""Read many files, some of which may be damaged."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from .image_files import read_image


class UnreadableFilesError(ValueError):
    """Some files could not be read.

    Args:
        reasons (dict[str, str]): What is wrong with each of these files, by its name.
        num_files (int): Number of all files.
    """

    def __init__(self, reasons: dict[str, str], num_files: int):
        self.reasons = reasons
        lines = '\n    '.join(reasons.values())
        summary = f'{len(reasons)} of {num_files} files could not be read; all others are done:'
        super().__init__(lines if num_files == 1 else f'{summary}\n    {lines}')


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
        UnreadableFilesError: On leaving: some files could not be read.
    """

    def __init__(self, read: Callable[[Path], np.ndarray] = read_image):
        self._read = read
        self._count = 0
        self._reasons = {}

    def __call__(self, path: Path) -> np.ndarray | None:
        """Read a file; return None if it cannot be read."""
        with self.attempt(str(path)):
            return self._read(path)

    @contextmanager
    def attempt(self, name: str) -> Iterator[None]:
        """Record an error in the body of a ``with`` statement, which reads the file of this name."""
        self._count += 1
        try:
            yield
        except (OSError, ValueError) as error:
            self._reasons[name] = str(error)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback):
        if error is None and self._reasons:
            raise UnreadableFilesError(self._reasons, self._count)
