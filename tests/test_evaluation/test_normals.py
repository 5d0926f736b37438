import numpy as np
import pytest
import torch

from mmdiffperc.evaluation.normals import (
    MEASURES,
    AngleSummary,
    angle_measures,
    angles_between,
    normal_measures,
    pooled_measures,
)


def turned(*degrees):
    """Directions ``(3, N)`` turned away from z."""
    angles = np.radians(degrees)
    return np.stack([np.sin(angles), np.zeros_like(angles), np.cos(angles)])


def test_measures():
    found = normal_measures(turned(0, 10, 20, 30, 170), turned(0, 0, 0, 5, 0))
    assert tuple(found) == MEASURES
    rmse = ((10**2 + 20**2 + 25**2 + 170**2) / 5) ** 0.5
    expected = {'mean': 45, 'median': 20, 'rmse': rmse, '5': 0.2, '7.5': 0.2, '11.25': 0.4, '22.5': 0.6, '30': 0.8}
    assert found == pytest.approx(expected)


def test_thresholds_are_excluded():
    assert angle_measures(np.array([5.0, 7.5, 11.25, 22.5, 30.0]))['5'] == 0
    assert angle_measures(np.array([5.0, 7.5, 11.25, 22.5, 30.0]))['30'] == 0.8


def test_length_does_not_matter():
    assert angles_between(turned(40, 60) / 3, 2 * turned(10, 40)) == pytest.approx([30, 20])


def test_vector_without_length():
    assert angles_between(np.zeros((3, 1)), turned(0)) == pytest.approx([90])


def test_pixels_of_all_images_together():
    """Exact but for the median; images of one, 500 and 700 pixels, on the last of which 180 degrees."""
    rng = np.random.default_rng(0)
    images = [np.array([40.0]), rng.uniform(0, 20, 500), np.array([*rng.normal(30, 3, 699), 180.0])]
    found = pooled_measures(
        [AngleSummary.of(image) for image in images[:2]] + [AngleSummary.of(torch.tensor(images[2]))]
    )
    exact = angle_measures(np.concatenate(images))
    assert tuple(found) == MEASURES
    assert found.pop('median') == pytest.approx(exact.pop('median'), abs=0.01)
    assert found == pytest.approx(exact, rel=1e-12)


@pytest.mark.parametrize(('angles', 'median'), [([7.0], 7), ([1.0, 9.0], 5), ([1.0, 2, 9], 2), ([1.0, 2, 6, 9], 4)])
def test_median_of_a_few_pixels(angles, median):
    found = pooled_measures([AngleSummary.of(np.array([angle])) for angle in angles])
    assert found['median'] == pytest.approx(median, abs=0.0101)
