import numpy as np

from mmdiffperc.toy_scenes.raycast import lit, trace

from .scenes import room, single


def hit_points(scene, height, width):
    directions, depth, surface = trace(scene, height, width)
    return scene.camera.position + depth[..., None] * directions, surface


def test_sphere_is_met_at_its_radius_and_on_its_near_side():
    centre, radius = np.array([0.3, 0.5, -3.5]), 0.5
    scene = room(single('sphere', centre, [radius] * 3))
    points, surface = hit_points(scene, 56, 72)
    points = points[surface == 2].astype(float)
    assert len(points) > 60
    assert np.allclose(np.linalg.norm(points - centre, axis=1), radius, atol=1e-4)
    assert (np.einsum('nc,nc->n', points - centre, points - scene.camera.position) < 1e-3).all()


def test_sphere_covers_exactly_the_rays_that_pass_it():
    centre, radius = np.array([0.3, 0.5, -3.5]), 0.5
    scene = room(single('sphere', centre, [radius] * 3))
    directions, _, surface = trace(scene, 56, 72)
    directions = directions.astype(float) / np.linalg.norm(directions, axis=-1, keepdims=True)
    to_centre = centre - scene.camera.position
    distance = np.linalg.norm(np.cross(directions, to_centre), axis=-1)
    clear = abs(distance - radius) > 1e-3
    assert ((surface == 2) == (distance < radius))[clear].all()


def test_box_is_met_on_its_faces():
    half = np.array([0.5, 0.4, 0.3])
    scene = room(single('box', [-0.3, 0.4, -3.2], half, angle=0.7))
    points, surface = hit_points(scene, 56, 72)
    part = scene.objects[0].parts[0]
    local = (points[surface == 2] - part.centre) @ part.rotation / half
    assert len(local) > 60
    assert np.allclose(abs(local).max(axis=1), 1, atol=1e-4)


def test_room_is_met_on_its_planes():
    points, surface = hit_points(room(), 40, 56)
    assert np.allclose(points[surface == 0][:, 1], 0, atol=1e-5)
    assert np.allclose(points[surface == 1][:, 2], -6, atol=1e-5)
    assert set(np.unique(surface)) == {0, 1}


def test_nearer_object_hides_the_farther():
    far, near = single('box', [0, 0.5, -4.5], [0.5] * 3), single('sphere', [0, 0.5, -3], [0.5] * 3)
    for objects, front in (((far, near), 3), ((near, far), 2)):
        _, surface = hit_points(room(*objects), 56, 72)
        both = (hit_points(room(far), 56, 72)[1] == 2) & (hit_points(room(near), 56, 72)[1] == 2)
        assert both.sum() > 20
        assert (surface[both] == front).all()


def test_shadow_of_a_sphere_is_where_it_stands_before_the_light():
    centre, radius, light = np.array([0.0, 0.6, -3.5]), 0.6, np.array([1.0, 4.0, -2.0])
    scene = room(single('sphere', centre, [radius] * 3), light=light)
    x, z = np.meshgrid(np.linspace(-3, 3, 61), np.linspace(-5.5, -1.5, 51))
    points = np.stack([x.ravel(), np.zeros(x.size), z.ravel()], axis=1)
    to_light = light - points
    along = np.einsum('nc,nc->n', centre - points, to_light) / np.einsum('nc,nc->n', to_light, to_light)
    distance = np.linalg.norm(points + along[:, None] * to_light - centre, axis=1)
    reached = lit(scene, points.astype(np.float32), np.tile(np.array([[0, 1, 0]], np.float32), (len(points), 1)))
    clear = abs(distance - radius) > 0.01
    assert (reached == (distance > radius))[clear].all()
    assert (~reached).sum() > 50


def test_faces_away_from_the_light_are_dark():
    scene = room(light=(0, 4, 0))
    points = np.array([[0, 1, -3], [0, 1, -3]], np.float32)
    assert lit(scene, points, np.array([[0, 1, 0], [0, -1, 0]], np.float32)).tolist() == [True, False]
