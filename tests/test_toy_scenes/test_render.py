from dataclasses import replace

import numpy as np
import pytest

from mmdiffperc.toy_scenes import TOY_CLASSES, render, sample_scene

from .scenes import grey, room, single

SEEDS = range(6)


def camera_points(rendering):
    height, width = rendering.depth.shape
    rays = rendering.scene.camera.rays(height, width)
    return rendering.depth[..., None] * (rays @ rendering.scene.camera.rotation)


@pytest.mark.parametrize('seed', SEEDS)
def test_normals_agree_with_the_depth(seed):
    rendering = render(sample_scene([3, seed]), (144, 160))
    points = camera_points(rendering).astype(float)
    across, down = points[1:-1, 2:] - points[1:-1, :-2], points[2:, 1:-1] - points[:-2, 1:-1]
    numeric = np.cross(down, across)
    numeric /= np.linalg.norm(numeric, axis=-1, keepdims=True)
    normals = rendering.normals
    inner = normals[1:-1, 1:-1]
    # Only inside of one smooth surface is a difference a derivative.
    smooth = np.ones(inner.shape[:2], bool)
    for shifted in (
        (slice(2, None), slice(1, -1)),
        (slice(0, -2), slice(1, -1)),
        (slice(1, -1), slice(2, None)),
        (slice(1, -1), slice(0, -2)),
    ):
        smooth &= np.einsum('hwc,hwc->hw', inner, normals[shifted]) > 0.98
        smooth &= rendering.instance_map[1:-1, 1:-1] == rendering.instance_map[shifted]
        smooth &= abs(rendering.depth[1:-1, 1:-1] - rendering.depth[shifted]) < 0.2
    cosine = -np.einsum('hwc,hwc->hw', numeric, inner)[smooth]
    assert smooth.mean() > 0.7
    assert np.quantile(abs(cosine), 0.01) > 0.98
    assert (np.sign(cosine) == np.sign(np.median(cosine))).mean() > 0.999


@pytest.mark.parametrize('seed', SEEDS)
def test_normals_are_unit_and_face_the_camera(seed):
    rendering = render(sample_scene([3, seed]), (64, 80))
    assert np.allclose(np.linalg.norm(rendering.normals, axis=-1), 1, atol=1e-4)
    assert (np.einsum('hwc,hwc->hw', rendering.normals, camera_points(rendering)) < 1e-3).all()


@pytest.mark.parametrize('domain', ['a', 'b'])
@pytest.mark.parametrize('seed', SEEDS)
def test_image_is_albedo_times_shading(seed, domain):
    rendering = render(sample_scene([4, seed], domain), (64, 80))
    explained = ~rendering.unexplained
    product = rendering.albedo * rendering.shading
    assert explained.mean() > 0.4
    assert abs(rendering.image / 255 - product)[explained].max() <= 0.5 / 255 + 1e-5
    assert rendering.albedo.min() >= 0 and rendering.albedo.max() <= 1
    assert rendering.depth.dtype == rendering.shading.dtype == rendering.normals.dtype == np.float32


def assert_same_truth(first, second):
    for name in ('semantic', 'depth', 'normals', 'albedo', 'shading', 'shadow', 'instance_map'):
        assert (getattr(first, name) == getattr(second, name)).all()


@pytest.mark.parametrize('seed', SEEDS[:3])
def test_drawings_have_the_ground_truth_of_their_scene(seed):
    scene = sample_scene([4, seed], 'd')
    drawing, photo = render(scene, (64, 80)), render(replace(scene, pen=None), (64, 80))
    assert_same_truth(drawing, photo)
    assert (drawing.unexplained | (drawing.image == photo.image).all(axis=-1)).all()
    assert drawing.unexplained.mean() > 0.95
    edge = drawing.semantic[:, :-1] != drawing.semantic[:, 1:]
    assert drawing.image[:, :-1][edge].mean() < 0.6 * drawing.image.mean()


@pytest.mark.parametrize('seed', SEEDS[:3])
def test_noise_changes_the_image_only(seed):
    scene = sample_scene([4, seed], 'e')
    noisy, clean = render(scene, (64, 80)), render(replace(scene, noise=None), (64, 80))
    assert_same_truth(noisy, clean)
    difference = (noisy.image / 255 - clean.image / 255)[(clean.image > 50) & (clean.image < 200)]
    assert abs(difference.mean()) < 0.005 and difference.std() == pytest.approx(scene.noise.strength, rel=0.1)
    assert noisy.unexplained.all()


def test_highlight_is_marked():
    shiny, matt = (single('sphere', [0, 0.6, -3], [0.6] * 3, material=grey(specular=s)) for s in (0.5, 0.0))
    with_highlight, without = render(room(shiny), (72, 64)), render(room(matt), (72, 64))
    brighter = (with_highlight.image > without.image).any(axis=-1)
    assert 5 < brighter.sum() < 0.5 * with_highlight.instances[0].area
    assert not (brighter & ~with_highlight.unexplained).any()
    assert not without.unexplained.any()


def test_lambert_shading_of_the_floor():
    rendering = render(room(light=(1.0, 4.0, -1.0)), (64, 80))
    points = camera_points(rendering) @ rendering.scene.camera.rotation.T + rendering.scene.camera.position
    to_light = np.array([1.0, 4.0, -1.0]) - points
    expected = 0.4 + 0.6 * to_light[..., 1] / np.linalg.norm(to_light, axis=-1)
    floor = rendering.semantic == TOY_CLASSES.index('floor')
    assert np.allclose(rendering.shading[..., 0][floor], expected[floor], atol=1e-4)
    assert not rendering.shadow[floor].any()


def test_instances_describe_their_pixels():
    rendering = render(sample_scene([5, 0]), (80, 96))
    assert {one.index + 1 for one in rendering.instances} == set(np.unique(rendering.instance_map)) - {0}
    for one in rendering.instances:
        mask = rendering.instance_map == one.index + 1
        x, y, width, height = one.bbox
        assert mask.sum() == one.area == mask[y : y + height, x : x + width].sum()
        assert mask[y].any() and mask[y + height - 1].any() and mask[:, x].any() and mask[:, x + width - 1].any()
        assert (rendering.semantic[mask] == TOY_CLASSES.index(one.class_name)).all()
    assert set(np.unique(rendering.semantic[rendering.instance_map == 0])) <= {0, 1}


def test_position_of_an_instance_projects_into_its_box():
    rendering = render(room(single('sphere', [0.6, 0.5, -3.5], [0.5] * 3)), (72, 96))
    x, y, z = rendering.instances[0].position
    focal = rendering.scene.camera.focal * 72
    left, top, width, height = rendering.instances[0].bbox
    assert 48 - focal * x / z == pytest.approx(left + width / 2, abs=1.5)
    assert 36 + focal * y / z == pytest.approx(top + height / 2, abs=1.5)


def test_same_scene_at_another_size():
    scene = sample_scene([6, 1])
    small, large = render(scene, 48), render(scene, 144)
    # 3 is odd, so every third pixel centre of the large image is one of the small.
    assert np.allclose(large.depth[1::3, 1::3], small.depth, atol=1e-4)
    assert (large.semantic[1::3, 1::3] == small.semantic).mean() > 0.999


@pytest.mark.parametrize('size', [31, (64, 8)])
def test_too_small_a_size_is_an_error(size):
    with pytest.raises(ValueError, match=r'\b32\b'):
        render(room(), size)
