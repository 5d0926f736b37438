"""Processes that a test starts and ends."""

import os
import sys
import time
import traceback
from collections.abc import Callable
from threading import RLock

from tqdm import tqdm

PATIENCE = 60  # seconds
OPENMMLAB = ('mmcv', 'mmdet', 'mmdiffperc', 'mmengine', 'mmpose', 'mmseg', 'xtcocotools')  # this package included


def fork(work: Callable[[], int]) -> int:
    """Do some work in a copy of this process, which need not import anything; return the number of the process."""
    if process := os.fork():
        return process
    tqdm.set_lock(RLock())  # a child that is killed while it holds the shared lock stops all progress bars
    status = 1
    try:
        status = work()
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(status)


def exit_code(process: int) -> int:
    """Wait for a process; return its exit status, or the number of the signal that ended it with a minus."""
    return os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])


def forget(*packages: str):
    """Let packages be imported again, as in a new process; only for a copy of a process."""
    for name in [name for name in sys.modules if name.partition('.')[0] in packages]:
        del sys.modules[name]


def wait_until(condition: Callable[[], object]) -> bool:
    """Wait until something is true, but not for ever; return whether it is."""
    end = time.monotonic() + PATIENCE
    while not condition() and time.monotonic() < end:
        time.sleep(0.01)
    return bool(condition())


def is_running(process: int) -> bool:
    """Return whether a process runs; one that has ended may still wait for its parent to notice."""
    try:
        with open(f'/proc/{process}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def children_of(process: int) -> list[int]:
    """Return the numbers of the processes that a process has started."""
    with open(f'/proc/{process}/task/{process}/children') as file:
        return [int(number) for number in file.read().split()]
