import pytest
import torch

from mmdiffperc.seg import PolyRiseFallLR


def build(**options):
    groups = [dict(params=[torch.zeros(1)], lr=2.0), dict(params=[torch.zeros(1)], lr=0.02)]
    optimizer = torch.optim.SGD(groups)
    return optimizer, PolyRiseFallLR(optimizer, 0.1, power=2.0, **options)


def rates_of(optimizer, scheduler, num_iters):
    rates = []
    for _ in range(num_iters):
        rates.append([group['lr'] for group in optimizer.param_groups])
        optimizer.step()
        scheduler.step()
    return torch.tensor(rates).T


def test_rises_and_falls_for_every_group():
    rates = rates_of(*build(begin=0, end=8, by_epoch=False), 10)
    up = [0.2 + 1.8 * (step / 4) ** 2 for step in (1, 2, 3)]
    down = [2.0 - 1.8 * (step / 4) ** 2 for step in (0, 1, 2, 3, 4)]
    expected = torch.tensor([*up, *down, 0.2, 0.2])
    torch.testing.assert_close(rates[0], expected)
    torch.testing.assert_close(rates[1], expected / 100)


def test_a_resumed_schedule_goes_on():
    whole = rates_of(*build(begin=0, end=8, by_epoch=False), 8)
    optimizer, scheduler = build(begin=0, end=8, by_epoch=False)
    rates_of(optimizer, scheduler, 5)
    states = optimizer.state_dict(), scheduler.state_dict()
    optimizer, scheduler = build(begin=0, end=8, by_epoch=False)
    optimizer.load_state_dict(states[0])
    scheduler.load_state_dict(states[1])
    torch.testing.assert_close(rates_of(optimizer, scheduler, 3), whole[:, 5:])


def test_in_epochs():
    optimizer = torch.optim.SGD([torch.zeros(1)], lr=2.0)
    epochs = dict(begin=0, end=4, by_epoch=True, epoch_length=3)
    scheduler = PolyRiseFallLR.build_iter_from_epoch(optimizer, 0.1, power=0.5, **epochs)
    rates = rates_of(optimizer, scheduler, 12)[0]
    assert rates.argmax() == 5 and rates[-1] == pytest.approx(0.2)
    assert rates[0] == pytest.approx(0.2 + 1.8 * (1 / 6) ** 0.5)
