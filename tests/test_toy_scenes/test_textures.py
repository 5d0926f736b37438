import numpy as np
import pytest

from mmdiffperc.toy_scenes.textures import PATTERNS, Material

POINTS = np.random.default_rng(0).uniform(-2, 2, (500, 3)).astype(np.float32)


@pytest.mark.parametrize('name', PATTERNS)
def test_albedo_mixes_colour_and_accent(name):
    colour, accent = np.array([0.9, 0.2, 0.1], np.float32), np.array([0.3, 0.4, 0.8], np.float32)
    albedo = Material(colour, accent, name, cell=0.3, phase=0.4).albedo(POINTS)
    weight = (albedo - colour) / (accent - colour)
    assert albedo.shape == (500, 3)
    assert np.allclose(weight, weight[:, :1], atol=1e-5)
    assert weight.min() > -1e-5 and weight.max() < 1 + 1e-5
    assert (weight.std() > 0.1) == (name != 'plain')


def test_checker_alternates_between_neighbouring_cells():
    black, white = np.zeros(3, np.float32), np.ones(3, np.float32)
    corners = np.array([[0.1, 0.1, 0.1], [0.6, 0.1, 0.1], [0.6, 0.6, 0.1]], np.float32)
    assert Material(black, white, 'checker', cell=0.5, phase=0).albedo(corners)[:, 0].tolist() == [0, 1, 0]
