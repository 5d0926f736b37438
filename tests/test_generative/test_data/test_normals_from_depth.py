"""On toy scenes, whose depth and normals are exact, and on planes."""

import numpy as np
import pytest

from mmdiffperc.evaluation.normals import angles_between
from mmdiffperc.generative.data.normals_from_depth import (
    Intrinsics,
    face_camera,
    fitting_axes,
    normals_from_depth,
    planar_depth,
)
from mmdiffperc.toy_scenes.render import render
from mmdiffperc.toy_scenes.writers import make_sample

SIZE = 96, 130


@pytest.fixture(scope='module')
def rendering(toy_spec):
    return render(make_sample(toy_spec, 'train', 0).rendering.scene, SIZE)


@pytest.fixture(scope='module')
def camera(rendering):
    return Intrinsics.centred(rendering.scene.camera.focal * min(SIZE), *SIZE)


def test_normals_of_a_scene(rendering, camera):
    found = normals_from_depth(rendering.depth, camera)
    np.testing.assert_allclose(np.linalg.norm(found, axis=-1), 1, rtol=1e-6)
    angles = angles_between(found.reshape(-1, 3).T, rendering.normals.reshape(-1, 3).T)
    assert np.median(angles) < 0.1 and (angles < 5).mean() > 0.9  # of the rest, most are on small round things


@pytest.mark.parametrize('normal', [(0, 0, 1), (0.6, 0, 0.8), (0, 0.96, 0.28), (-0.48, 0.6, 0.64)])
def test_normal_of_a_plane(normal):
    camera = Intrinsics(90, 70, 8, 4)
    depth = -3 / (camera.rays(20, 24) @ normal)
    angles = angles_between(normals_from_depth(depth, camera).reshape(-1, 3).T, np.array(normal)[:, None])
    assert (depth > 0).all() and angles.max() < 1.0 * any(normal[:2]) + 1e-4


def test_what_is_beside_holes_has_a_normal_and_what_is_alone_has_none():
    depth = np.full((12, 9), 2.0)
    depth[4], depth[8, 3], depth[:2, 6:] = np.nan, 0, np.inf
    depth[0, 8] = 2  # the depth of no neighbour is known
    found = normals_from_depth(depth, Intrinsics(50, 50, 4, 4))
    known = np.isfinite(depth) & (depth > 0)
    known[0, 8] = False
    assert (found[known] == (0, 0, 1)).all() and (found[~known] == 0).all()


def test_no_difference_crosses_an_edge():
    depth = np.full((8, 12), 1.0)
    depth[:, 5:] = 7
    assert (normals_from_depth(depth, Intrinsics(50, 50, 6, 4)) == (0, 0, 1)).all()


def test_planar_depth(rendering, camera):
    distance = rendering.depth * np.linalg.norm(camera.rays(*SIZE), axis=-1)
    assert distance[0, 0] > 1.05 * rendering.depth[0, 0]
    np.testing.assert_allclose(planar_depth(distance, camera), rendering.depth, rtol=1e-6)
    # The pixel (3, 4) of a camera with focal length 12: 3, 4 and 12 are two sides and the space diagonal is 13.
    assert planar_depth(np.full((6, 6), 26.0), Intrinsics(12, 12, 0, 0))[4, 3] == pytest.approx(24)


def test_turning_normals_to_the_camera(rendering, camera):
    turned = rendering.normals * np.where(np.indices(SIZE).sum(0) % 2, 1, -1)[..., None]
    assert (face_camera(turned, camera) == rendering.normals).all()


@pytest.mark.parametrize('axes', ['RUB', 'LUB', 'RDF', 'RUF'])
def test_axes_of_normals(rendering, camera, axes):
    signs = [1 if letter in 'RUB' else -1 for letter in axes]
    assert fitting_axes(rendering.normals * signs, rendering.depth, camera) == axes
    # The focal length need not be known.
    assert fitting_axes(rendering.normals * signs, rendering.depth, Intrinsics.centred(max(SIZE), *SIZE)) == axes


def test_axes_of_a_wall_are_not_contradicted():
    normals = np.zeros((*SIZE, 3))
    normals[:50, :, 2] = 1
    assert fitting_axes(normals, np.full(SIZE, 2.0), Intrinsics.centred(80, *SIZE)) == 'RUB'
