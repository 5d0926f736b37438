import numpy as np
import pytest

from mmdiffperc.toy_scenes.sky import FOG_TOP, Sky

CLEAR = Sky('blue', np.array([0.2, 0.4, 0.8]), np.array([0.8, 0.8, 0.8]), 0.0, np.zeros(4))
FOGGY = Sky('grey', np.array([0.5, 0.5, 0.5]), np.array([0.6, 0.6, 0.6]), 0.0, np.zeros(4), fog=0.1)


def test_fog_at_ten_metres_leaves_one_part_in_e():
    surface, distance = np.array([[1.0, 0.0, 0.6]]), np.array([10.0])
    expected = [np.exp(-1) + 0.6 * (1 - np.exp(-1)), 0.6 * (1 - np.exp(-1)), 0.6]
    np.testing.assert_allclose(FOGGY.behind_fog(surface, distance), [expected])
    assert CLEAR.behind_fog(surface, distance) is surface


def test_path_ends_at_the_surface_or_at_the_top_of_the_fog():
    """The rays go 3 to the side or up, and 4 ahead, so that a unit of depth is 5 / 4 units long."""
    directions = np.array([[0.75, 0, -1], [0, 0.75, -1], [0, 0, -1]])
    lengths = FOGGY.path_lengths(np.array([8.0, np.inf, np.inf]), directions, height=2.0)
    assert lengths[0] == pytest.approx(10)
    assert lengths[1] == pytest.approx((FOG_TOP - 2) * 5 / 3)
    assert np.isfinite(lengths[2]) and lengths[2] > 1000  # along the horizon


def test_colour_goes_from_the_horizon_to_the_zenith():
    up, level, between = CLEAR.radiance(np.array([[0, 2, 0], [1, 0, -1], [0, 0.2, -1]], np.float32))
    np.testing.assert_allclose(up, CLEAR.zenith, atol=1e-6)
    np.testing.assert_allclose(level, CLEAR.horizon, atol=1e-6)
    assert (between[:2] < level[:2]).all() and (between[:2] > up[:2]).all()


def test_clouds_cover_a_part_of_the_sky():
    directions = np.random.default_rng(0).uniform((-1, 0.05, -1), (1, 0.5, -0.5), (500, 3))
    cloudy = Sky('cloudy', CLEAR.zenith, CLEAR.horizon, 0.5, np.arange(4.0))
    brighter = (cloudy.radiance(directions)[:, 0] > CLEAR.radiance(directions)[:, 0] + 0.02).mean()
    assert 0.2 < brighter < 0.9
