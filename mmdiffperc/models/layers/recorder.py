"""Keep intermediate tensors of a network during one call."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn


class Recorder(threading.local):
    """Keep tensors from inside a network during one forward pass, for its caller.

    Each thread has a separate record, so several threads can use one network, and the replicas of
    ``torch.nn.DataParallel`` can share a recorder. No tensor is kept outside a recording, for example when gradient
    checkpointing runs a module a second time. A copy of a recorder starts without a record.
    """

    def __init__(self):
        # Runs in each thread at its first access: torch.compile could not guard a default of the class.
        self._record: dict[str, Tensor] | None = None

    def __reduce__(self) -> tuple:
        """Copy and pickle as a new recorder, because a record belongs to one thread."""
        return type(self), ()

    @contextmanager
    def recording(self) -> Iterator[dict[str, Tensor]]:
        """Record inside the context.

        Yields:
            dict[str, Tensor]: The tensors kept so far, by name.
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
        """Keep the output of a submodule in every recording, or its first output if it returns a tuple.

        Args:
            network (nn.Module): The network.
            name (str): Name of the submodule, and of the record's entry.
        """
        # A bound method, not a closure: a deep copy of the network, as for EMA, then reports to its own recorder.
        network.get_submodule(name).register_forward_hook(partial(self._keep_output, name))

    def _keep_output(self, name, module, args, output):
        self.keep(name, output[0] if isinstance(output, tuple) else output)
