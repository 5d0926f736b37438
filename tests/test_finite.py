"""A NaN or an infinite value is found in tensors of any kind, and named."""

import math

import pytest
import torch

from mmdiffperc.finite import first_non_finite


@pytest.mark.parametrize('value', [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize('dtype', [torch.float64, torch.float32, torch.float16, torch.bfloat16, torch.complex64])
def test_first_name(value, dtype):
    broken = torch.ones(3, 5, dtype=dtype)
    broken[2, 4] = value
    assert first_non_finite({'first': torch.zeros(2, dtype=dtype), 'second': broken, 'third': broken}) == 'second'


def test_eight_bit_floats():
    weight = torch.tensor([1.0, math.nan]).to(torch.float8_e5m2)
    assert first_non_finite({'whole': weight[:1], 'broken': weight}) == 'broken'


def test_opposite_infinities():
    assert first_non_finite({'weight': torch.tensor([math.inf, -math.inf])}) == 'weight'


def test_large_finite_values_whose_sum_overflows():
    weights = {'half': torch.full((4,), 65504, dtype=torch.float16), 'single': torch.full((4,), 3e38)}
    assert first_non_finite(weights) is None


def test_what_is_skipped():
    others = dict(
        count=torch.tensor(3),
        mask=torch.tensor([True]),
        meta=torch.empty(2, device='meta'),
        sparse=torch.eye(2).to_sparse(),
        text='nan',
        number=math.nan,
        empty=torch.empty(0),
    )
    assert first_non_finite(others) is None
    assert first_non_finite({}) is None
