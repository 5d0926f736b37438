import numpy as np
import pytest

from mmdiffperc.generative import NormalMapMetric


def colours_at(*degrees):
    """Colours ``(3, 1, N)`` of normals turned away from z."""
    angles = np.radians(degrees)
    normals = np.stack([np.sin(angles), np.zeros_like(angles), np.cos(angles)])
    return (normals[:, None] + 1) / 2


def test_angles():
    found = NormalMapMetric().measure(colours_at(0, 10, 20, 30, 170), colours_at(0, 0, 0, 5, 0))
    assert found['mean'] == pytest.approx((0 + 10 + 20 + 25 + 170) / 5)
    assert found['median'] == pytest.approx(20)
    assert [found[name] for name in ('11.25', '22.5', '30')] == pytest.approx([0.4, 0.6, 0.8])


def test_colours_themselves():
    pred, truth = np.array([1.0, 0, 0]).reshape(3, 1, 1), np.array([1.0, 1, 0]).reshape(3, 1, 1)
    assert NormalMapMetric(of_colours=True).measure(pred, truth)['mean'] == pytest.approx(45)
    assert NormalMapMetric().measure(pred, truth)['mean'] == pytest.approx(np.degrees(np.arccos(1 / 3)))
    assert NormalMapMetric().measure(pred, truth)['l1'] == pytest.approx(1 / 3)


def test_unknown_truth_does_not_count():
    truth = colours_at(0, 0, 0)
    truth[:, 0, 1], truth[:, 0, 2] = np.nan, 0.5
    found = NormalMapMetric().measure(colours_at(7, 80, 90), truth)
    assert found['mean'] == pytest.approx(7) and found['11.25'] == 1 and found['l1'] < 0.03
    assert all(np.isnan(value) for value in NormalMapMetric().measure(truth, np.full((3, 1, 3), np.nan)).values())
