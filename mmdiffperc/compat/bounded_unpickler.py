"""Refuse tuples that repeat their entries so often that the hash of one, as the key of a dict, takes hours.

A pickle may name one tuple many times, and Python computes the hash of a tuple from all its entries: forty pairs, each
of which holds the one before twice, take two hundred bytes. Lists and dicts cannot be keys.

Delete when torch's restricted unpickler limits what it builds.
"""

import pickle
from typing import Any

from torch import _weights_only_unpickler as torch_unpickler

_MOST_ENTRIES = 2**20


class _Memo(dict):
    """What a pickle can name again; of a tuple of tuples it knows the number of entries at all levels."""

    def __init__(self):
        super().__init__()
        self._nested: dict[int, tuple[tuple, int]] = {}  # by identity, for which they are kept alive

    def __setitem__(self, index: int, value: Any) -> None:
        if type(value) is tuple and tuple in map(type, value):
            size = self._size(value)
            if size > _MOST_ENTRIES:
                raise pickle.UnpicklingError(f'a tuple has {size} entries, most of them named more than once')
            self._nested[id(value)] = value, size
        super().__setitem__(index, value)

    def _size(self, value: Any) -> int:
        if type(value) is not tuple:
            return 1
        if tuple not in map(type, value):
            return 1 + len(value)
        _, known = self._nested.get(id(value), (None, None))
        return known or 1 + sum(map(self._size, value))


class BoundedUnpickler(torch_unpickler.Unpickler):
    """Torch's restricted unpickler, with a limit for tuples."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.memo = _Memo()
