"""Processes that a test starts and ends."""

import os
import time
from collections.abc import Callable

PATIENCE = 60  # seconds


def fork(work: Callable[[], int]) -> int:
    """Do some work in a copy of this process, which need not import anything; return the number of the process."""
    if process := os.fork():
        return process
    status = 1
    try:
        status = work()
    finally:
        os._exit(status)


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
