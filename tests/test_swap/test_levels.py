import pytest

from mmdiffperc.swap.levels import choose_levels, replace_unread

OWN = (8, 16, 32, 64)


@pytest.mark.parametrize(
    ('strides', 'levels'),
    [
        ((8, 16, 32, 64), (0, 1, 2, 3)),
        ((4, 8, 16, 32), (0, 1, 2, 3)),
        ((8, 16, 32), (0, 1, 2)),
        ((4, 8, 8, 8), (0, 1, 1, 1)),
        ((16, 16, 16, 16), (1, 1, 1, 1)),
        ((14,), (1,)),
        ((2,), (0,)),
        ((128,), (3,)),
        ((32, 8, 16), (2, 0, 1)),  # as they come
        ((16, 8, 4, 2, 1), (3, 2, 1, 0, 0)),  # five of them for four levels
    ],
)
def test_levels(strides, levels):
    assert choose_levels(strides, OWN) == levels


def test_levels_of_another_network():
    assert choose_levels((4, 8, 16, 32), (4, 8, 16)) == (0, 1, 2, 2)


def test_what_nothing_reads_costs_no_level():
    assert replace_unread((4, 8, 16, 32), {1, 2, 3}) == (8, 8, 16, 32)
    assert replace_unread((4, 8, 8, 8), {3}) == (8, 8, 8, 8)
    assert replace_unread((4, 8, 16, 32), {0, 3}) == (4, 4, 32, 32)
    assert replace_unread((4, 8), {0, 1}) == (4, 8)
