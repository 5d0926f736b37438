"""Workers end with the process that started them."""

import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor

from mmdiffperc.processes import end_with_parent

NUM_WORKERS = 3
PATIENCE = 60  # seconds


def start_workers(pipe: int):
    """Write the numbers of the workers to a pipe, and wait for them."""
    with ProcessPoolExecutor(NUM_WORKERS, initializer=end_with_parent) as pool:
        futures = [pool.submit(time.sleep, 10 * PATIENCE) for _ in range(NUM_WORKERS)]
        os.write(pipe, ' '.join(map(str, pool._processes)).encode())
        futures[0].result()


def is_running(process: int) -> bool:
    """Whether it runs; one that has ended may still wait for somebody to take notice."""
    try:
        with open(f'/proc/{process}/stat') as file:
            return file.read().rpartition(')')[2].split()[0] != 'Z'
    except FileNotFoundError:
        return False


def test_workers_end_with_a_killed_parent():
    reading, writing = os.pipe()
    if not (parent := os.fork()):
        start_workers(writing)
        os._exit(1)
    workers = [int(number) for number in os.read(reading, 1000).split()]
    assert len(workers) == NUM_WORKERS and all(map(is_running, workers))
    os.kill(parent, signal.SIGKILL)
    os.waitpid(parent, 0)
    end = time.monotonic() + PATIENCE
    while any(map(is_running, workers)) and time.monotonic() < end:
        time.sleep(0.01)
    left = [worker for worker in workers if is_running(worker)]
    for worker in left:  # would wait for ever, and the test run with them
        os.kill(worker, signal.SIGKILL)
    assert not left
    os.close(reading)
    os.close(writing)
