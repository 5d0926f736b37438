import numpy as np
import pytest
from scipy.ndimage import correlate

from mmdiffperc.evaluation.images import image_measures, mean_of_defined, ssim


def test_errors():
    truth = np.zeros((3, 12, 15))
    pred = truth.copy()
    pred[0] = 0.3
    found = image_measures(pred, truth)
    assert [found[name] for name in ('l1', 'mse', 'rmse')] == pytest.approx([0.1, 0.03, 0.03**0.5])
    assert found['psnr'] == pytest.approx(10 * np.log10(1 / 0.03))


def test_equal_images():
    image = np.random.rand(2, 13, 16)
    found = image_measures(image, image.copy())
    assert found['psnr'] == np.inf and found['ssim'] == pytest.approx(1)


def test_ssim_by_its_definition():
    """The formula of the paper with explicit windows."""
    a, b = np.random.rand(2, 14, 17)
    axis = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    window = np.outer(axis, axis) / axis.sum() ** 2

    def mean(image):
        return correlate(image, window)[5:-5, 5:-5]

    x, y = mean(a), mean(b)
    xx, yy, xy = mean(a * a) - x * x, mean(b * b) - y * y, mean(a * b) - x * y
    expected = (2 * x * y + 1e-4) * (2 * xy + 9e-4) / ((x * x + y * y + 1e-4) * (xx + yy + 9e-4))
    assert ssim(a, b) == pytest.approx(expected.mean(), rel=1e-9)


def test_image_smaller_than_the_window():
    assert np.isnan(image_measures(np.ones((1, 8, 30)), np.zeros((1, 8, 30)))['ssim'])


def test_unknown_pixels():
    """The left half is unknown, and wrong: the windows of 11 pixels that do not touch it have the columns 25 to 34."""
    pred, truth = np.random.rand(2, 3, 13, 40)
    truth[:, :, :20] = np.nan
    found = image_measures(pred, truth)
    expected = image_measures(pred[:, :, 20:], truth[:, :, 20:])
    assert found == pytest.approx(expected, rel=1e-9)


def test_mean_of_defined():
    assert mean_of_defined(np.array([1.0, np.nan, 4.0])) == 2.5
    assert np.isnan(mean_of_defined(np.array([np.nan])))
