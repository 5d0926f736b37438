import numpy as np
import pytest

from mmdiffperc.evaluation.normals import MEASURES, angles_between, normal_measures


def turned(*degrees):
    """Directions ``(3, N)`` turned away from z."""
    angles = np.radians(degrees)
    return np.stack([np.sin(angles), np.zeros_like(angles), np.cos(angles)])


def test_measures():
    found = normal_measures(turned(0, 10, 20, 30, 170), turned(0, 0, 0, 5, 0))
    assert tuple(found) == MEASURES
    assert found == pytest.approx({'mean': 45, 'median': 20, '11.25': 0.4, '22.5': 0.6, '30': 0.8})


def test_length_does_not_matter():
    assert angles_between(turned(40, 60) / 3, 2 * turned(10, 40)) == pytest.approx([30, 20])


def test_vector_without_length():
    assert angles_between(np.zeros((3, 1)), turned(0)) == pytest.approx([90])
