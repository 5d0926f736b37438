import cv2
import numpy as np
import pytest

from mmdiffperc.evaluation.alignment import AlignmentError
from mmdiffperc.generative.measured_depth import MeasuredDepth

DEPTH = np.array([[2.0, 0.0, 4.0], [1.0, 3.0, np.nan]])  # metres; two pixels without a measurement


def test_files(tmp_path):
    """Integers have a unit, other numbers are metres; arrays come before pictures."""
    cv2.imwrite(str(tmp_path / 'a.png'), np.nan_to_num(DEPTH * 256).astype(np.uint16))
    np.testing.assert_array_equal(MeasuredDepth(tmp_path, 1 / 256).read('a', (2, 3)), np.nan_to_num(DEPTH))
    assert MeasuredDepth(tmp_path).read('a', (2, 3))[0, 0] == pytest.approx(0.512)
    np.savez(tmp_path / 'a.npz', x=DEPTH)
    np.testing.assert_array_equal(MeasuredDepth(tmp_path, 1 / 256).read('a', (2, 3)), DEPTH)
    with pytest.raises(ValueError, match=r'a.npz.*\(3, 2\).*\(2, 3\)'):
        MeasuredDepth(tmp_path).read('a', (3, 2))
    with pytest.raises(FileNotFoundError, match='b.npz'):
        MeasuredDepth(tmp_path).read('b', (2, 3))


def test_fit(tmp_path):
    np.savez(tmp_path / 'a.npz', x=DEPTH)
    measured = MeasuredDepth(tmp_path)
    relative = np.array([[0.5, 0.9, 1.5], [0.0, 1.0, 0.2]])  # half of the depth less one
    fit = measured.fit(relative, 'affine', 'a')
    assert (fit.scale, fit.shift) == pytest.approx((2, 1)) and fit.apply(0.9) == pytest.approx(2.8)
    fit = measured.fit(np.array([[0.25, 0.1, 0.125], [0.5, 1 / 6, 0.3]]), 'disparity', 'a')  # half of 1 / depth
    assert fit.apply(np.array(0.1)) == pytest.approx(5)
    with pytest.raises(ValueError, match='normals'):
        measured.fit(relative, 'normals', 'a')
    with pytest.raises(AlignmentError, match='constant'):
        measured.fit(np.ones((2, 3)), 'affine', 'a')
