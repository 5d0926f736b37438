"""When a number is the official one."""

import numpy as np

TOLERANCE = 2e-5


def assert_agrees(actual, recorded, name, tolerance=TOLERANCE):
    """Compare by relative L2 distance; NaN stands where it stands. The recording may hold only every n-th entry."""
    steps = [-(-full // saved) for full, saved in zip(actual.shape, recorded.shape, strict=True)]
    actual = actual.numpy()[tuple(slice(None, None, step) for step in steps)]
    assert actual.shape == recorded.shape, name
    np.testing.assert_array_equal(np.isnan(actual), np.isnan(recorded), err_msg=name)
    distance = np.linalg.norm(np.nan_to_num(actual - recorded)) / np.linalg.norm(np.nan_to_num(recorded))
    assert distance <= tolerance, f'{name}: relative L2 distance {distance:.1e}'
