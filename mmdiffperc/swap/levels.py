"""The levels of the U-Net that replace the features of another backbone."""

from collections.abc import Collection, Sequence
from itertools import combinations_with_replacement
from math import log2


def replace_unread(strides: Sequence[int], read: Collection[int]) -> tuple[int, ...]:
    """Replace the stride of each unread feature by the closest stride that is read, so that it costs no extra level.

    Args:
        strides (Sequence[int]): Strides of all features.
        read (Collection[int]): Indices of the features that are read.
    """
    known = [strides[index] for index in sorted(read)]
    return tuple(min(known, key=lambda other: abs(log2(other / stride))) for stride in strides)


def choose_levels(strides: Sequence[int], own_strides: Sequence[int]) -> tuple[int, ...]:
    """Choose a level for each feature: one level per stride.

    A larger stride never gets a finer level. Among all such choices, the strides of the chosen levels are closest to
    the requested ones, in octaves. If there are more strides than levels, as few strides as possible share a level.

    Args:
        strides (Sequence[int]): Requested strides, in any order.
        own_strides (Sequence[int]): Strides of the levels, the finest first.

    Returns:
        tuple[int]: The level of each feature. With levels of strides 8, 16, 32 and 64, strides 4, 8, 16, 32 get levels
        0, 1, 2, 3; strides 8, 16, 32 get levels 0, 1, 2; strides 4, 8, 8, 8 get levels 0, 1, 1, 1.
    """
    distinct = sorted(set(strides))

    def cost(levels):
        octaves = sum(abs(log2(own_strides[level] / stride)) for level, stride in zip(levels, distinct, strict=True))
        return len(levels) - len(set(levels)), octaves

    best = min(combinations_with_replacement(range(len(own_strides)), len(distinct)), key=cost)
    level_of = dict(zip(distinct, best, strict=True))
    return tuple(level_of[stride] for stride in strides)
