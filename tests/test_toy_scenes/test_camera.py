import numpy as np

from .scenes import room


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
