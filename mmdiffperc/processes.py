"""Worker processes that end together with their parent process."""

import os
import signal
from multiprocessing import connection, parent_process
from threading import Thread


def end_with_parent():
    """Make this worker process end as soon as its parent ends, even if the parent is killed.

    Pass this function as the ``initializer`` of a pool. The worker ignores SIGINT, which a terminal sends to all
    processes of a program, because the parent handles it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a forked process inherits the handler of its parent
    Thread(target=_wait_and_exit, args=(parent_process().sentinel,), daemon=True).start()


def _wait_and_exit(sentinel):
    connection.wait([sentinel])
    os._exit(1)
