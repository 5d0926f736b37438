import numpy as np
import pytest
import torch

from mmdiffperc.evaluation.alignment import AlignmentError
from mmdiffperc.evaluation.depth import (
    MEASURES,
    benchmark_crop,
    crop_mask,
    depth_measures,
    evaluate_depth,
    is_compared,
)


@pytest.mark.parametrize(
    ('size', 'crop_type', 'box'),
    [
        ((480, 640), 'nyu_crop', (45, 471, 41, 601)),
        ((370, 1224), 'garg_crop', (151, 366, 43, 1180)),
        ((375, 1242), 'garg_crop', (153, 371, 44, 1197)),
        ((352, 1216), 'garg_crop', (143, 349, 43, 1172)),
        ((375, 1242), 'eigen_crop', (124, 342, 44, 1197)),
        ((352, 1216), 'eigen_crop', (117, 321, 43, 1172)),
    ],
)
def test_crop(size, crop_type, box):
    top, bottom, left, right = box
    mask = crop_mask(*size, crop_type)
    assert mask.shape == size
    assert mask[top:bottom, left:right].all()
    assert mask.sum() == (bottom - top) * (right - left)


def test_benchmark_crop():
    rows, columns = benchmark_crop((375, 1242))
    assert (rows.start, rows.stop, columns.start, columns.stop) == (23, 375, 13, 1229)
    assert benchmark_crop((4, 7), (3, 4)) == (slice(1, 4), slice(1, 5))
    with pytest.raises(ValueError, match='350 x 1242.*352 x 1216'):
        benchmark_crop((350, 1242))


def test_crop_of_nyu_needs_the_size_of_nyu():
    with pytest.raises(ValueError, match='480 x 640.*352 x 1216'):
        crop_mask(352, 1216, 'nyu_crop')


def test_measures_by_hand():
    """Ratios 1, 1.25 (not below 1.25), 2 and 4."""
    measures = depth_measures(pred=np.array([3.0, 5.0, 4.0, 1.0]), gt=np.array([3.0, 4.0, 2.0, 4.0]))
    assert tuple(measures) == MEASURES
    logs = np.array([0, np.log(1.25), np.log(2), -np.log(4)])
    expected = dict(
        d1=0.25,
        d2=0.5,
        d3=0.5,
        abs_rel=(0 + 1 / 4 + 2 / 2 + 3 / 4) / 4,
        sq_rel=(0 + 1 / 4 + 4 / 2 + 9 / 4) / 4,
        rmse=np.sqrt((0 + 1 + 4 + 9) / 4),
        rmse_log=np.sqrt((logs**2).mean()),
        log10=np.abs(np.log10([1, 1.25, 2, 4])).mean(),
        silog=np.sqrt((logs**2).mean() - 0.5 * logs.mean() ** 2),
        irmse=1000 * np.sqrt((0 + (1 / 4 - 1 / 5) ** 2 + (1 / 2 - 1 / 4) ** 2 + (1 - 1 / 4) ** 2) / 4),
        kitti_silog=100 * logs.std(),
    )
    assert measures == pytest.approx(expected)


GT = np.array([[0.5, 1.0, 2.0], [3.0, 8.0, np.nan]])


def test_limits_are_excluded():
    assert is_compared(GT, 1.0, 8.0).tolist() == [[False, False, True], [True, False, False]]
    assert evaluate_depth(GT, GT, 3.0, 8.0) is None


def test_map_inside_a_crop():
    """Wrong outside Garg's crop, rows 8 to 18 and columns 1 to 28 of 20 x 30."""
    pred = np.full((20, 30), 5.0)
    pred[8:19, 1:28] = 2.0
    assert evaluate_depth(pred, np.full((20, 30), 2.0), 1e-3, 10.0, 'garg_crop')['rmse'] == 0


def test_one_map():
    """Aligned by a factor of 2, to 2 and 3; or clamped to 1 and 1.5."""
    assert evaluate_depth(GT / 2, GT, 1.0, 8.0, align='median')['rmse'] == pytest.approx(0)
    assert evaluate_depth(GT / 4, GT, 1.0, 8.0, clamp=True)['rmse'] == pytest.approx(((1 + 4) / 2) ** 0.5)


def test_clamped_after_alignment():
    """The fit doubles; 2, 4 and 9 m become 4, 8 and 18 m, of which the last is clamped."""
    pred, gt = np.array([[2.0, 4.0, 9.0]]), np.array([[4.0, 8.0, 12.0]])
    assert evaluate_depth(pred, gt, 1.0, 14.0, align='median', clamp=True)['rmse'] == pytest.approx((4 / 3) ** 0.5)


def test_alignment_uses_the_compared_pixels():
    pred, gt = np.array([[1.0, 2.0, 3.0, 9.0]]), np.array([[2.0, 4.0, 6.0, 50.0]])
    assert evaluate_depth(pred, gt, 1.0, 8.0, align='least_squares')['rmse'] == pytest.approx(0, abs=1e-12)
    with pytest.raises(AlignmentError, match='two'):
        evaluate_depth(pred, gt, 5.0, 8.0, align='least_squares')


def test_tensors_inside_a_crop():
    gt = np.random.default_rng(0).uniform(0, 9, (20, 30))
    compared = is_compared(torch.tensor(gt), 1.0, 8.0, 'eigen_crop')
    assert compared.tolist() == is_compared(gt, 1.0, 8.0, 'eigen_crop').tolist()
