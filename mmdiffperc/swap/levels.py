"""Which levels of the U-Net stand in for features of given strides."""

from collections.abc import Collection, Sequence
from itertools import combinations_with_replacement
from math import log2


def replace_unread(strides: Sequence[int], read: Collection[int]) -> tuple[int, ...]:
    """Give a feature that nothing reads the stride of one that is read, so that no level is computed for it.

    Args:
        strides (Sequence[int]): Strides of all features.
        read (Collection[int]): Indices of those that are read.
    """
    known = [strides[index] for index in sorted(read)]
    return tuple(min(known, key=lambda other: abs(log2(other / stride))) for stride in strides)


def choose_levels(strides: Sequence[int], own_strides: Sequence[int]) -> tuple[int, ...]:
    """Choose a level for each feature: features of one stride get the same, features of other strides another.

    A larger stride never gets a finer level. Of all such choices it is the one whose own strides are closest, in
    octaves, to those asked for; if there are more strides than levels, as few as possible share one.

    Args:
        strides (Sequence[int]): Strides asked for, in any order.
        own_strides (Sequence[int]): Those of the levels, the finest first.

    Returns:
        tuple[int]: The level of each feature: of strides 8, 16, 32, 64 for 4, 8, 16, 32 all four; for 8, 16, 32 the
        first three; for 4, 8, 8, 8 levels 0, 1, 1, 1.
    """
    distinct = sorted(set(strides))

    def cost(levels):
        octaves = sum(abs(log2(own_strides[level] / stride)) for level, stride in zip(levels, distinct, strict=True))
        return len(levels) - len(set(levels)), octaves

    best = min(combinations_with_replacement(range(len(own_strides)), len(distinct)), key=cost)
    level_of = dict(zip(distinct, best, strict=True))
    return tuple(level_of[stride] for stride in strides)
