import numpy as np
import pytest

from mmdiffperc.generative import ImageErrorMetric


def test_measures():
    found = ImageErrorMetric().measure(np.full((3, 12, 15), 0.3), np.zeros((3, 12, 15)))
    assert tuple(found) == ImageErrorMetric.MEASURES
    assert found['l1'] == pytest.approx(0.3)
