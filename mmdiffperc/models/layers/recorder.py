"""Keep intermediate tensors of a network during one call."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import Size, Tensor, nn


class Recorder(threading.local):
    """Keep tensors from inside a network during one forward pass, for its caller.

    Each thread has a separate record, so several threads can use one network, and the replicas of
    ``torch.nn.DataParallel`` can share a recorder. No tensor is kept outside a recording, for example when gradient
    checkpointing runs a module a second time. A copy of a recorder starts without a record.
    """

    def __init__(self):
        # Runs in each thread at its first access: torch.compile could not guard a default of the class.
        self._record: dict[str, Tensor | Size] | None = None

    def __reduce__(self) -> tuple:
        """Copy and pickle as a new recorder, because a record belongs to one thread."""
        return type(self), ()

    @contextmanager
    def recording(self) -> Iterator[dict[str, Tensor | Size]]:
        """Record inside the context.

        Yields:
            dict[str, Tensor | Size]: The tensors and sizes kept so far, by name.
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

    def keep(self, name: str, value: Tensor | Size):
        """Keep a tensor or size, if this thread is recording."""
        if self._record is not None:
            self._record[name] = value

    def watch(self, network: nn.Module, name: str, tensor: str = 'output', entry: str | None = None):
        """Keep a tensor of a submodule in every recording.

        Args:
            network (nn.Module): The network.
            name (str): Name of the submodule.
            tensor (str): ``'output'``, which is the first one if it returns a tuple; ``'input'``, which is the first
                one; or ``'input size'``, the size ``(h, w)`` of the first input. Defaults to ``'output'``.
            entry (str, optional): Name of the record's entry. Default: ``name``.
        """
        # Bound methods, not closures: a deep copy of the network, as for EMA, then reports to its own recorder.
        module, entry = network.get_submodule(name), entry or name
        if tensor == 'output':
            module.register_forward_hook(partial(self._keep_output, entry))
        else:
            module.register_forward_pre_hook(partial(self._keep_input, entry, tensor == 'input size'))

    def _keep_output(self, entry, module, args, output):
        self.keep(entry, output[0] if isinstance(output, tuple) else output)

    def _keep_input(self, entry, only_size, module, args):
        self.keep(entry, args[0].shape[-2:] if only_size else args[0])
