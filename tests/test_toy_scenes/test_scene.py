from dataclasses import replace

import numpy as np
import pytest

from mmdiffperc.toy_scenes.scene import yaw

from .scenes import room, single


def test_yaw_turns_z_towards_x():
    assert np.allclose(yaw(np.pi / 2) @ [0, 0, 1], [1, 0, 0], atol=1e-6)
    assert np.allclose(yaw(0.3) @ yaw(-0.3), np.eye(3), atol=1e-6)


def test_normals_of_a_stretched_solid_are_those_of_the_ellipsoid():
    half = np.array([0.9, 0.3, 0.5])
    part = single('sphere', [0.2, 0.3, -3], half, angle=0.6).parts[0]
    unit = np.random.default_rng(0).normal(size=(50, 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    points = (part.centre + (unit * half) @ part.rotation.T).astype(np.float32)
    expected = (unit / half) @ part.rotation.T
    expected /= np.linalg.norm(expected, axis=1, keepdims=True)
    assert np.allclose(part.normals(points), expected, atol=1e-4)


@pytest.mark.parametrize('shape', ['sphere', 'box', 'diamond', 'cone'])
def test_radius_holds_the_whole_part(shape):
    part = single(shape, [0, 0, 0], [0.7, 0.3, 0.5]).parts[0]
    starts = np.random.default_rng(0).normal(size=(300, 3)).astype(np.float32)
    starts *= 5 / np.linalg.norm(starts, axis=1, keepdims=True)
    t_in, t_out = part.intersect(starts, -starts)
    reach = np.linalg.norm(starts * (1 - t_in[:, None]), axis=1)[t_in < t_out]
    assert len(reach) > 250 and reach.max() <= part.radius + 1e-5


def test_placed_turns_and_moves_parts_and_keypoints():
    thing = single('box', [0.4, 0.5, 0.0], [0.2, 0.5, 0.1], angle=0.0)
    moved = thing.placed(np.pi / 2, (1, 0, -3))
    assert np.allclose(moved.position, [1, 0.5, -3.4], atol=1e-6)
    assert np.allclose(moved.parts[0].rotation @ [1, 0, 0], [0, 0, -1], atol=1e-6)
    assert moved.keypoints is None


def test_pattern_of_a_plane_does_not_flicker_across_it():
    floor = room().planes[0]
    points = np.array([[0.3, 1e-7, -3], [0.3, -1e-7, -3]], np.float32)
    assert (floor.albedo(points) == floor.albedo(points)[:1]).all()


def test_rays_and_project_are_inverse():
    camera = room().camera
    rays = camera.rays(40, 56)
    points = camera.position + 3.5 * rays.reshape(-1, 3)
    xy, depth = camera.project(points, 40, 56)
    columns, rows = np.meshgrid(np.arange(56) + 0.5, np.arange(40) + 0.5)
    assert np.allclose(xy, np.stack([columns.ravel(), rows.ravel()], axis=1), atol=1e-3)
    assert np.allclose(depth, 3.5, atol=1e-5)


def test_camera_axes():
    camera = room().camera
    assert np.allclose(camera.rotation @ camera.rotation.T, np.eye(3), atol=1e-6)
    ahead, right, above = camera.to_camera(camera.position + np.array([[0, 0, -1], [1, 0, 0], [0, 1, 0]], np.float32))
    # Pitched downwards: what is straight ahead of the body appears above the optical axis.
    assert ahead[2] < 0 and ahead[1] > 0
    assert np.allclose(right, [1, 0, 0], atol=1e-6) and above[1] > 0.9


def test_sphere_around_an_object_contains_its_parts():
    """Two balls at a distance of 2, of which the larger one has a radius of 0.5."""
    one, other = (single('sphere', [x, 1, 0], [size] * 3).parts[0] for x, size in ((-1, 0.5), (1, 0.25)))
    pair = replace(single('sphere', [0, 0, 0], [1, 1, 1]), parts=(one, other))
    assert pair.position == pytest.approx([0, 1, 0]) and pair.radius == pytest.approx(1.5, rel=0.01)
    assert pair.radius >= 1.5
