import numpy as np
import pytest

from mmdiffperc.seg.depth.depth_check import find_fault

MM = 1e-3
ROOM = np.linspace(0.9, 7.5, 100)


def find(numbers, factor=MM, **options):
    """Depth as it is loaded, from numbers in a file."""
    return find_fault(np.asarray(numbers, np.float32) * np.float32(factor), factor, **options)


def replaced(numbers, *values):
    """The numbers, with the first ones exchanged."""
    return np.r_[values, numbers[len(values) :]]


@pytest.mark.parametrize('number', [65535, 65534, 32767])
@pytest.mark.parametrize('max_depth', [10, 80, 200, np.inf])
def test_marks_of_16_bits_within_any_range(number, max_depth):
    """5 of 100 pixels, in millimetres: 32.767 or 65.535 m lie within 80 m."""
    fault = find(replaced(ROOM / MM, *[number] * 5), max_depth=max_depth)
    assert fault.kind == 'mark' and '5.00%' in fault.text and str(number) in fault.text


def test_two_marks():
    fault = find(replaced(ROOM / MM, 65534, 65535, 65535), max_depth=10)
    assert fault.kind == 'mark' and all(text in fault.text for text in ('3.00%', '65535', '65534'))


def test_nothing_but_a_mark():
    fault = find([65535] * 9, max_depth=10)
    assert fault.kind == 'mark' and '100.00%' in fault.text and 'rescale' not in fault.text


def test_mark_that_was_mixed_with_depth():
    """4 pixels kept the mark, and 20 lie between it and the depth around."""
    mixed = replaced(ROOM / MM, *[65535] * 4, *np.linspace(12000, 64000, 20))
    assert find(mixed, max_depth=10).kind == 'mark'
    fault = find(mixed[4:], max_depth=10)  # 20 of 96
    assert fault.kind == 'range' and '21%' in fault.text and 'resize' in fault.text


def test_a_few_pixels_of_the_highest_number_are_no_mark():
    assert find(np.r_[np.tile(ROOM / MM, 20), 65535], max_depth=80) is None


@pytest.mark.parametrize(
    ('metres', 'unit', 'loaded_with', 'max_depth', 'likely'),
    [
        (np.linspace(2, 60, 101), MM, 1 / 256, 80, '0.001'),  # 20.5 m become 80 m: 68 % are beyond
        (ROOM, 2e-4, MM, 10, '0.0002'),
        (np.linspace(2, 60, 101), 1 / 256, 2e-2, 80, '0.00390625'),
    ],
)
def test_more_than_half_beyond_the_range_tells_the_unit(metres, unit, loaded_with, max_depth, likely):
    fault = find(metres / unit, loaded_with, max_depth=max_depth)
    assert fault.kind == 'range' and likely in fault.text


@pytest.mark.parametrize(('number_beyond', 'kind'), [(10, None), (11, 'range')])
def test_share_beyond_the_range(number_beyond, kind):
    fault = find(replaced(ROOM / MM, *range(12000, 12000 + number_beyond)), max_depth=10)
    assert getattr(fault, 'kind', None) == kind
    assert not fault or 'likely' not in fault.text


@pytest.mark.parametrize(
    ('factor', 'max_depth', 'has_8_bits', 'kind'),
    [
        (MM, 2, True, 'bits'),  # 255 is 0.255 m
        (MM, 2, False, None),
        (MM, 1, True, None),  # 0.255 m is more than a quarter of it
        (MM, 2.6, False, 'bits'),
        (2 / 255, 2, True, None),
        (MM, np.inf, True, 'bits'),
        (1 / 255, np.inf, True, None),  # up to one metre
    ],
)
def test_few_bits(factor, max_depth, has_8_bits, kind):
    fault = find(np.arange(1, 256), factor, max_depth=max_depth, has_8_bits=has_8_bits)
    assert getattr(fault, 'kind', None) == kind


def test_nothing_measured():
    assert find([], max_depth=10) is None
