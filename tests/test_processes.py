"""Workers end with the process that started them."""

import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor

import child_processes

from mmdiffperc.processes import end_with_parent

NUM_WORKERS = 3


def start_workers():
    """Keep some workers busy."""
    with ProcessPoolExecutor(NUM_WORKERS, initializer=end_with_parent) as pool:
        list(pool.map(time.sleep, [10 * child_processes.PATIENCE] * NUM_WORKERS))


def test_workers_end_with_a_killed_parent():
    parent = child_processes.fork(start_workers)
    assert child_processes.wait_until(lambda: len(child_processes.children_of(parent)) == NUM_WORKERS)
    workers = child_processes.children_of(parent)
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    ended = child_processes.wait_until(lambda: not any(map(child_processes.is_running, workers)))
    for worker in filter(child_processes.is_running, workers):  # would wait for ever, and the test run with them
        os.kill(worker, signal.SIGKILL)
    assert ended
