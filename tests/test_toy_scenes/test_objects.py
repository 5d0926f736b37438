import numpy as np
import pytest

from mmdiffperc.toy_scenes.domains import DOMAINS
from mmdiffperc.toy_scenes.objects import random_object
from mmdiffperc.toy_scenes.vocabulary import OBJECT_CLASSES, OBJECT_COLOURS

from .scenes import room

CAMERA = room().camera


@pytest.mark.parametrize('shape', [*OBJECT_CLASSES, 'figure'])
def test_footprint_holds_the_object_and_it_stands_on_the_floor(shape):
    rng = np.random.default_rng(0)
    for _ in range(8):
        thing, radius, z = random_object(rng, shape, CAMERA, -6.0, DOMAINS['a'])
        points = surface_points(thing, rng)
        assert np.hypot(points[:, 0], points[:, 2]).max() <= radius + 1e-4
        assert points[:, 1].min() == pytest.approx(0, abs=0.08) and points[:, 1].min() > -1e-3
        assert -6 < z < -2
        assert thing.class_name == shape and thing.colour in OBJECT_COLOURS


@pytest.mark.parametrize('domain', DOMAINS)
def test_looks_are_the_domains(domain):
    rng = np.random.default_rng(1)
    materials = [random_object(rng, 'box', CAMERA, -6.0, DOMAINS[domain])[0].parts[0].material for _ in range(60)]
    assert {one.pattern for one in materials} == set(DOMAINS[domain].object_patterns)
    assert 0.1 < np.mean([one.specular > 0 for one in materials]) < 0.5


def surface_points(thing, rng, count=3000):
    """Points where rays from all around enter the parts of an object."""
    found = []
    for part in thing.parts:
        starts = rng.normal(size=(count, 3)).astype(np.float32)
        starts = part.centre + 3 * starts / np.linalg.norm(starts, axis=1, keepdims=True)
        targets = part.centre + (rng.uniform(-1, 1, (count, 3)) * part.half_extents) @ part.rotation.T
        t_in, t_out = part.intersect(starts, (targets - starts).astype(np.float32))
        hit = t_in < t_out
        found.append((starts + t_in[:, None] * (targets - starts))[hit])
    return np.concatenate(found)
