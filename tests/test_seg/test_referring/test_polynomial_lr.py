import pytest
import torch

from mmdiffperc.seg import PolynomialLR


def rates(build, **options):
    """Learning rates of nine iterations, and of one after the end."""
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=2.0)
    scheduler, found = build(optimizer, power=0.9, **options), []
    for _ in range(10):
        found.append(optimizer.param_groups[0]['lr'])
        optimizer.step()
        scheduler.step()
    return found


@pytest.mark.parametrize('minimum', [0.0, 0.5])
def test_decays_towards_the_minimum_and_never_reaches_it(minimum):
    found = rates(PolynomialLR, end=9, by_epoch=False, eta_min=minimum)
    assert found[:9] == pytest.approx([minimum + (2 - minimum) * (1 - i / 9) ** 0.9 for i in range(9)])
    assert found[9] == found[8] > minimum


def test_equals_pytorch():
    found = rates(PolynomialLR, end=9, by_epoch=False)
    assert found[:9] == pytest.approx(rates(torch.optim.lr_scheduler.PolynomialLR, total_iters=9)[:9])


def test_in_epochs():
    epochs = dict(end=3, by_epoch=True, epoch_length=3)
    assert rates(PolynomialLR.build_iter_from_epoch, **epochs) == rates(PolynomialLR, end=9, by_epoch=False)
