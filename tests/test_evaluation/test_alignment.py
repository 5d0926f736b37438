import numpy as np
import pytest
import torch

from mmdiffperc.evaluation.alignment import ALIGNMENTS, AlignmentError, DepthFit, fit_depth

DEPTH = np.array([[2.0, 4.0, 5.0], [8.0, 10.0, 1.0]])


def lstsq(pred, reference):
    return np.linalg.lstsq(np.stack([pred, np.ones_like(pred)], 1), reference, rcond=None)[0]


@pytest.fixture
def noisy():
    rng = np.random.default_rng(0)
    reference = rng.uniform(1, 9, (13, 17))
    return (reference - 2) / 3 + rng.normal(0, 0.1, reference.shape), reference


def test_least_squares(noisy):
    pred, reference = noisy
    fit = fit_depth(pred, reference)
    scale, shift = lstsq(pred.ravel(), reference.ravel())
    assert (fit.scale, fit.shift) == pytest.approx((scale, shift), rel=1e-10)
    np.testing.assert_allclose(fit.apply(pred), scale * pred + shift)


def test_least_squares_of_disparity(noisy):
    pred, reference = noisy
    pred = pred - 1  # some are negative, and not fitted
    positive = pred > 0
    assert 0 < positive.mean() < 1
    scale, shift = lstsq(pred[positive], 1 / reference[positive])
    fit = fit_depth(pred, reference, 'least_squares_disparity')
    assert (fit.scale, fit.shift) == pytest.approx((scale, shift), rel=1e-10)
    np.testing.assert_allclose(fit.apply(pred), 1 / (scale * pred + shift).clip(1e-3))


def test_disparity_that_is_not_positive_is_1000_m():
    fit = DepthFit(2.0, -1.0, in_disparity=True)
    assert fit.apply(np.array([1.0, 0.5, 0.1])).tolist() == [1, 1000, 1000]
    assert fit.apply(torch.tensor([1.0, 0.5, 0.1])).tolist() == pytest.approx([1, 1000, 1000])


@pytest.mark.parametrize('method', ['robust', 'robust_disparity'])
def test_robust_fit_ignores_outliers(method):
    rng = np.random.default_rng(0)
    reference = rng.uniform(1, 9, 500)
    pred = (1 / reference if method == 'robust_disparity' else reference) * 0.5 + 0.25
    measured = np.where(np.arange(500) % 3, reference, 30 + 5 * reference)
    fit = fit_depth(pred, measured, method)
    assert (fit.scale, fit.shift) == pytest.approx((2, -0.5), rel=1e-4)
    assert abs(fit_depth(pred, measured, method.replace('robust', 'least_squares')).scale - 2) > 0.5


def test_robust_fit_has_the_least_absolute_error():
    """The best line passes through two of the points, so trying all pairs finds it."""
    rng = np.random.default_rng(1)
    pred, reference = rng.uniform(1, 5, (2, 15))
    left, right = np.triu_indices(15, 1)
    scales = (reference[left] - reference[right]) / (pred[left] - pred[right])
    shifts = reference[left] - scales * pred[left]
    errors = np.abs(scales[:, None] * pred + shifts[:, None] - reference).sum(1)
    found = np.abs(fit_depth(pred, reference, 'robust').apply(pred) - reference).sum()
    assert found == pytest.approx(errors.min(), rel=1e-4)


def test_median_of_an_even_number():
    pred, reference = np.array([1.0, 3.0, 5.0, 100.0]), np.array([2.0, 6.0, 10.0, 11.0])
    assert fit_depth(pred, reference, 'median') == DepthFit(8 / 4, 0)


def test_only_known_pixels_are_fitted():
    """Unmeasured depth is 0, NaN or infinite; one prediction is infinite; the fifth pixel is masked."""
    pred = np.array([1.0, 2, 3, 4, 5, 6, np.inf])
    sparse = np.array([5.0, 7, 0, np.nan, 90, np.inf, 4])
    assert fit_depth(pred, sparse, valid=np.arange(7) != 4) == DepthFit(2, 3)


@pytest.mark.parametrize('method', ALIGNMENTS)
@pytest.mark.parametrize('depth', [0.0, 4.0])
def test_fewer_than_two_pixels(method, depth):
    with pytest.raises(AlignmentError, match=rf'two.*\b{int(depth > 0)}\b'):
        fit_depth(DEPTH, np.where(DEPTH == 4, depth, 0), method)


@pytest.mark.parametrize('method', [name for name in ALIGNMENTS if name != 'median'])
def test_constant_prediction(method):
    with pytest.raises(AlignmentError, match='constant'):
        fit_depth(0 * DEPTH + 0.1, DEPTH, method)


@pytest.mark.parametrize('pred', [[0.0, 0.0, 5.0], [-2.0, -1.0, 3.0]])
def test_median_that_is_not_positive(pred):
    with pytest.raises(AlignmentError, match='median.*not positive'):
        fit_depth(np.array(pred), np.array([1.0, 2.0, 3.0]), 'median')


def test_larger_maps_are_fitted_on_a_grid():
    """Of 4 x 6 pixels, the rows 0 and 2 and the columns 0, 2 and 4."""
    rng = np.random.default_rng(0)
    pred, reference = rng.uniform(1, 2, (2, 4, 6))
    scale, shift = lstsq(pred[::2, ::2].ravel(), reference[::2, ::2].ravel())
    fit = fit_depth(pred, reference, max_size=3)
    assert (fit.scale, fit.shift) == pytest.approx((scale, shift))
    assert fit_depth(pred, reference, max_size=6) == fit_depth(pred, reference)
    grid = torch.nn.functional.interpolate(torch.tensor(pred)[None, None], scale_factor=4 / 6, mode='nearest')[0, 0]
    reference_grid = reference[[0, 1]][:, [0, 1, 3, 4]]
    fit = fit_depth(pred, reference, max_size=4)
    assert (fit.scale, fit.shift) == pytest.approx(tuple(lstsq(grid.numpy().ravel(), reference_grid.ravel())))
