import numpy as np
import pytest

from mmdiffperc.toy_scenes.solids import SOLIDS

# The shapes once more, written as a person would define them.
INSIDE = {
    'sphere': lambda x, y, z: x**2 + y**2 + z**2 <= 1,
    'box': lambda x, y, z: np.maximum.reduce([abs(x), abs(y), abs(z)]) <= 1,
    'cylinder': lambda x, y, z: (np.hypot(x, z) <= 1) & (abs(y) <= 1),
    'cone': lambda x, y, z: (np.hypot(x, z) <= (1 - y) / 2) & (y >= -1),
    'pyramid': lambda x, y, z: (np.maximum(abs(x), abs(z)) <= (1 - y) / 2) & (y >= -1),
    'wedge': lambda x, y, z: (np.maximum(abs(x), abs(z)) <= 1) & (y >= -1) & (y <= -x),
    'dome': lambda x, y, z: (x**2 + ((y + 1) / 2) ** 2 + z**2 <= 1) & (y >= -1),
    'diamond': lambda x, y, z: abs(x) + abs(y) + abs(z) <= 1,
}


def random_rays(count=400):
    rng = np.random.default_rng(0)
    origins = rng.normal(0, 1, (count, 3))
    origins *= 4 / np.linalg.norm(origins, axis=1, keepdims=True)
    directions = rng.uniform(-1, 1, (count, 3)) - origins
    return origins.astype(np.float32), directions.astype(np.float32)


def test_every_solid_has_an_independent_definition():
    assert set(INSIDE) == set(SOLIDS)


@pytest.mark.parametrize('name', SOLIDS)
def test_interval_is_the_inside(name):
    origins, directions = random_rays()
    t_in, t_out = SOLIDS[name].intersect(origins, directions)
    steps = np.linspace(0, 3, 301)
    points = origins[:, None] + steps[:, None] * directions[:, None]
    truth = INSIDE[name](*np.moveaxis(points.astype(float), -1, 0))
    found = (steps > t_in[:, None]) & (steps < t_out[:, None])
    # Samples that lie on the surface may fall on either side.
    decided = np.minimum(abs(steps - t_in[:, None]), abs(steps - t_out[:, None])) > 1e-3
    assert truth.any(axis=1).sum() > 40
    assert (truth == found)[decided].all()


@pytest.mark.parametrize('name', SOLIDS)
def test_normals_are_outward_and_perpendicular(name):
    origins, directions = random_rays()
    t_in, t_out = SOLIDS[name].intersect(origins, directions)
    hit = t_in < t_out - 0.05
    points = (origins + t_in[:, None] * directions)[hit]
    normals = SOLIDS[name].normals(points)
    normals = normals / np.linalg.norm(normals, axis=1, keepdims=True)
    assert (np.einsum('nc,nc->n', normals, directions[hit]) < 1e-3).all()
    outside, inside = points + 1e-2 * normals, points - 1e-2 * normals
    assert not INSIDE[name](*outside.astype(float).T).any()
    # Close to an edge a step against the normal may leave the solid through the other face.
    assert INSIDE[name](*inside.astype(float).T).mean() > 0.9
    tangent = np.cross(normals, np.roll(normals, 1, axis=1) + 0.3)
    shifted = points + 1e-3 * tangent
    on_surface = INSIDE[name](*(shifted - 4e-3 * normals).astype(float).T)
    assert on_surface.mean() > 0.9


def test_ray_along_the_axis_of_a_cone_enters_at_its_apex():
    down_and_up = np.array([[0, -1, 0], [0, 1, 0]], np.float32)
    t_in, t_out = SOLIDS['cone'].intersect(np.array([0, 3, 0], np.float32), down_and_up)
    assert t_in[0] == pytest.approx(2) and t_out[0] == pytest.approx(4)
    assert t_in[1] > t_out[1] or t_out[1] < 0
