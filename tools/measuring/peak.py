"""The peak memory of a computation, counted tensor by tensor, without computing anything."""

import weakref
from collections.abc import Callable

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class PeakMemory(TorchDispatchMode):
    """Count the bytes of the tensors that exist at the same time and were made in this context.

    Memory that an operation needs while it runs, such as the workspace of a convolution, is not counted. With fake
    tensors (``torch._subclasses.FakeTensorMode``), nothing is computed.

    Attributes:
        held (int): The number of bytes that exist now.
        most (int): The largest number of bytes so far.
    """

    def __init__(self):
        super().__init__()
        self.most = 0
        self.held = 0
        self._known = weakref.WeakSet()

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        """Run an operation, and count the tensors that it makes."""
        given = {id(leaf.untyped_storage()) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        result = function(*args, **(kwargs or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, torch.Tensor) and id(tensor.untyped_storage()) not in given:
                self._add(tensor.untyped_storage())
        return result

    def _add(self, storage):
        if storage in self._known:
            return
        self._known.add(storage)
        size = storage.nbytes()
        self.held += size
        self.most = max(self.most, self.held)
        weakref.finalize(storage, self._remove, size)

    def _remove(self, size):
        self.held -= size


@torch.no_grad()
def peak_memory(run: Callable[[], object]) -> int:
    """Return the peak number of bytes of the tensors that ``run`` makes, without its inputs and weights."""
    with PeakMemory() as counted:
        run()
    return counted.most
