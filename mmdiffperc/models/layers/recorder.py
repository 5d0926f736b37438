"""What the modules of a network compute on the way, kept during one call of it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn


class Recorder(threading.local):
    """Keep tensors from inside a network during one forward pass, for whoever started it.

    Each thread has its own record, so one network serves several threads, and the replicas of
    ``torch.nn.DataParallel`` may share a recorder. Outside a recording nothing is kept, such as when gradient
    checkpointing runs a module a second time. A copy of a recorder starts without a record.
    """

    def __init__(self):
        # In each thread, when it first asks: torch.compile could not guard a default of the class.
        self._record: dict[str, Tensor] | None = None

    def __reduce__(self) -> tuple:
        """Copy and pickle as a new recorder: what a thread is recording belongs to that thread alone."""
        return type(self), ()

    @contextmanager
    def recording(self) -> Iterator[dict[str, Tensor]]:
        """Record until the context is left.

        Yields:
            dict[str, Tensor]: What has been kept so far, by name.
        """
        outer, self._record = self._record, {}
        try:
            yield self._record
        finally:
            self._record = outer

    @property
    def is_recording(self) -> bool:
        """Whether this thread is recording."""
        return self._record is not None

    def keep(self, name: str, value: Tensor):
        """Keep a tensor, if this thread is recording."""
        if self._record is not None:
            self._record[name] = value

    def watch(self, network: nn.Module, name: str):
        """Keep the output of a submodule from now on, the first one if it returns a tuple.

        Args:
            network (nn.Module): The network.
            name (str): The submodule in it, which is also the name of the record's entry.
        """
        # A bound method, not a closure: a deep copy of the network, as for EMA, then reports to its own recorder.
        network.get_submodule(name).register_forward_hook(partial(self._keep_output, name))

    def _keep_output(self, name, module, args, output):
        self.keep(name, output[0] if isinstance(output, tuple) else output)
