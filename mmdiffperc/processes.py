"""Worker processes that end with the process that started them."""

import os
import signal
from multiprocessing import connection, parent_process
from threading import Thread


def end_with_parent():
    """Make this worker process end as soon as its parent does, even if the parent was killed.

    Pass it as the ``initializer`` of a pool. SIGINT, which a terminal sends to all processes of a program, is left to
    the parent.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # a fork inherits the handler of its parent
    Thread(target=_wait_and_exit, args=(parent_process().sentinel,), daemon=True).start()


def _wait_and_exit(sentinel):
    connection.wait([sentinel])
    os._exit(1)
