import numpy as np
import pytest

from mmdiffperc.evaluation.depth import depth_measures
from mmdiffperc.generative import DepthMapMetric

PRED = np.array([[[1.0, 2, 3, 0, 5]]])
TRUTH = np.array([[[1.0, 3, 2, 4, 9]]])


def test_measures_within_the_limits():
    truth = TRUTH.copy()
    truth[..., 0] = 0
    found = DepthMapMetric(max_depth=8.0).measure(PRED, truth)
    pred = np.array([2, 3, 1e-3])  # raised to the lower limit
    assert found == pytest.approx(
        dict(depth_measures(pred, np.array([3.0, 2, 4])), l1=(1 + 1 + 3.999) / 3, mse=(1 + 1 + 3.999**2) / 3)
        | dict(rmse=((1 + 1 + 3.999**2) / 3) ** 0.5)
    )


def test_normalised():
    metric = DepthMapMetric(normalise=True)
    assert metric.measures == ('l1', 'mse', 'rmse')
    stretched = (PRED - PRED.min()) / 5
    assert metric.measure(stretched, (TRUTH - 1) / 8)['l1'] == pytest.approx(np.abs(PRED / 5 - (TRUTH - 1) / 8).mean())


def test_no_pixel_counts():
    assert all(np.isnan(value) for value in DepthMapMetric().measure(PRED, np.zeros_like(PRED)).values())


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        (dict(measures=['abs_rel'], normalise=True), r"normalise=True.*\['abs_rel'\]"),
        (dict(min_depth=2.0, max_depth=1.0), 'min_depth.*max_depth.*2.0.*1.0'),
        (dict(measures=['delta']), 'delta'),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        DepthMapMetric(**arguments)
