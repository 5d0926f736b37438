"""Count the bytes that a process sends to others in collective operations."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, distributed
from torch.distributed.tensor import DTensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

c10d, functional = torch.ops.c10d, torch.ops._c10d_functional
# The argument that holds the whole tensor, of which each process has a part, or a copy.
WHOLE = {
    c10d._allgather_base_.default: ('all-gather', 0),
    c10d._reduce_scatter_base_.default: ('reduce-scatter', 1),
    c10d.allreduce_.default: ('all-reduce', 0),
    c10d.broadcast_.default: ('broadcast', 0),
    functional.all_reduce.default: ('all-reduce', 0),
}
# How often each process sends its share of the whole to another one, with ring algorithms.
PASSES = {'all-gather': 1, 'reduce-scatter': 1, 'all-reduce': 2, 'broadcast': 1}


class SentBytes(TorchDispatchMode):
    """Count what each process sends in the collective operations that run in this context.

    The count is that of ring algorithms, in which n processes each send (n - 1) / n of the tensor, and twice as much to
    sum it up and distribute the sum (all-reduce). Other algorithms send at least as much.

    Attributes:
        counts (Counter): Bytes by the kind of operation and the ranks of the processes that take part.
    """

    def __init__(self):
        super().__init__()
        self.counts: Counter[tuple[str, tuple[int, ...]]] = Counter()

    def __torch_dispatch__(self, function: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run an operation and count it."""
        if DTensor in types:
            return NotImplemented  # its operations on parts follow
        result = function(*args, **(kwargs or {}))
        if function in WHOLE:
            kind, index = WHOLE[function]
            ranks = _ranks(function, args)
            size = sum(each.nbytes for each in tree_leaves(args[index]) if isinstance(each, Tensor))
            self.counts[kind, ranks] += PASSES[kind] * size * (len(ranks) - 1) // len(ranks)
        return result

    def by_kind(self) -> dict[str, int]:
        """Return bytes by the kind of operation."""
        total = Counter()
        for (kind, _), size in self.counts.items():
            total[kind] += size
        return dict(total)


@contextmanager
def pretend_processes(number: int) -> Iterator[None]:
    """Let this process be the first of several that do not exist. What they would send stays undefined.

    Args:
        number (int): Number of processes.
    """
    from torch.testing._internal.distributed.fake_pg import FakeStore  # registers the backend

    distributed.init_process_group('fake', store=FakeStore(), rank=0, world_size=number)
    try:
        yield
    finally:
        distributed.destroy_process_group()


def _ranks(function, args) -> tuple[int, ...]:
    from torch.distributed._tools.fake_collectives import CollectiveOp  # it changes how fake tensors communicate

    return tuple(distributed.get_process_group_ranks(CollectiveOp.get_process_group(function, args)))
