"""Prevent two training runs from writing to one folder.

mmengine allows it, and each training run overwrites and removes the other's checkpoints.

Delete when mmengine locks the work folder of a training run.
"""

import warnings
from pathlib import Path

from filelock import FileLock, Timeout

LOCK_FILE = '.training.lock'


def lock_folder(folder: str | Path) -> FileLock | None:
    """Lock a folder for the training runs of this process, until the lock is released or the process ends.

    The operating system releases the lock when the process ends, so a remaining file does not lock the folder.

    Args:
        folder (str | Path): A local folder, which is created if it does not exist.

    Returns:
        FileLock | None: The lock, or None with a warning if the file system does not support locks.

    Raises:
        RuntimeError: A training in another process holds the lock.
    """
    folder = Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    # One instance per folder: a process that trains again after an error still holds the first lock.
    lock = FileLock(folder / LOCK_FILE, timeout=0, is_singleton=True)
    try:
        lock.acquire()
    except Timeout:
        raise RuntimeError(
            f'Another training is writing to {folder}: it holds {folder / LOCK_FILE}. Wait until it ends, or choose '
            'another `work_dir`. You can test in this folder at any time.'
        ) from None
    except (OSError, NotImplementedError) as error:
        warnings.warn(
            f'{folder} cannot be locked ({error}). Make sure that only one training run writes to it.', stacklevel=2
        )
        return None
    return lock
