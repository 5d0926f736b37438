import pytest
import torch
from measuring.peak import PeakMemory, peak_memory
from torch._subclasses.fake_tensor import FakeTensorMode


def test_tensors_that_exist_together():
    given = torch.ones(100)  # 400 bytes, not counted

    def run():
        first = given + 1  # 400
        second = first.view(4, 25)[:2] * 2  # a view needs nothing; 200
        del first
        third = second.double()  # 400 more
        return third.add_(1)  # in place

    assert peak_memory(run) == 600


def test_what_exists_now():
    with PeakMemory() as memory:
        kept = torch.zeros(10)
        torch.zeros(30)
        assert (memory.held, memory.most) == (40, 160)
        del kept
        assert memory.held == 0


@pytest.mark.parametrize('size', [10, 10**12])
def test_nothing_is_computed_with_fake_tensors(size):
    with FakeTensorMode():
        images = torch.ones(size)
        assert peak_memory(lambda: (images * 2 + 1).sum()) == 8 * size
