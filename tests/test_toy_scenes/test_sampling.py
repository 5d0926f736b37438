from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from mmdiffperc.toy_scenes import TOY_CLASSES, render, sample_scene
from mmdiffperc.toy_scenes.domains import DOMAINS
from mmdiffperc.toy_scenes.sampling import random_object
from mmdiffperc.toy_scenes.vocabulary import OBJECT_CLASSES, OBJECT_COLOURS

from .scenes import room

NUM_SCENES = 60


@pytest.fixture(scope='module')
def renderings():
    return [render(sample_scene([7, index]), 64) for index in range(NUM_SCENES)]


@pytest.mark.parametrize('domain', DOMAINS)
def test_equal_seeds_give_equal_bits(domain):
    one, other = (render(sample_scene([1, 2], domain), (40, 56)) for _ in range(2))
    for name in ('image', 'semantic', 'depth', 'normals', 'albedo', 'shading', 'instance_map'):
        assert getattr(one, name).tobytes() == getattr(other, name).tobytes()


def test_other_seeds_and_domains_give_other_scenes():
    image = render(sample_scene([1, 2]), 48).image
    for other in (sample_scene([1, 3]), sample_scene([2, 2]), *(sample_scene([1, 2], domain) for domain in 'bcde')):
        assert (render(other, 48).image != image).mean() > 0.5


def test_generator_is_taken_as_a_seed():
    rng = np.random.default_rng(4)
    first, second = sample_scene(rng), sample_scene(rng)
    assert (render(first, 48).image == render(sample_scene(4), 48).image).all()
    assert (render(first, 48).image != render(second, 48).image).any()


@pytest.mark.parametrize('domain', 'abde')
def test_scenes_have_the_looks_of_their_domain(domain):
    looks = DOMAINS[domain]
    for scene in (sample_scene([8, index], domain) for index in range(10)):
        floor, *walls = scene.planes
        assert floor.material.pattern in looks.floor_patterns
        assert {wall.material.pattern for wall in walls} <= set(looks.wall_patterns)
        solids = [part for thing in scene.objects if thing.class_name != 'figure' for part in thing.parts]
        assert {part.material.pattern for part in solids} <= set(looks.object_patterns)
        assert looks.lamp_height[0] <= scene.light.position[1] <= looks.lamp_height[1]
        assert looks.ambient[0] <= scene.light.ambient[0] <= looks.ambient[1]
        strength = (np.max if looks.lamp_saturation else np.median)(scene.light.colour / looks.tint)
        assert 0.85 * looks.lamp_strength[0] < strength < 1.15 * looks.lamp_strength[1]


def test_unknown_domain_is_an_error():
    with pytest.raises(ValueError, match="'f'"):
        sample_scene(0, 'f')


def test_every_class_and_colour_occurs(renderings):
    pixels = Counter(TOY_CLASSES[label] for one in renderings for label in np.unique(one.semantic))
    colours = Counter(instance.colour for one in renderings for instance in one.instances)
    assert set(pixels) == set(TOY_CLASSES) and min(pixels.values()) >= 5
    assert set(colours) == set(OBJECT_COLOURS)


@pytest.mark.parametrize('domain', 'cd')
def test_equal_objects_are_more_frequent_than_in_domain_a(domain):
    def share(name):
        scenes = [sample_scene([12, index], name) for index in range(40)]
        pairs = [Counter((one.class_name, one.colour) for one in scene.objects).most_common(1) for scene in scenes]
        return np.mean([most[0][1] > 1 for most in pairs])

    assert share(domain) > share('a') + 0.1


def test_three_to_seven_objects_that_can_be_seen(renderings):
    counts = [len(one.instances) for one in renderings]
    assert min(counts) >= 3 and max(counts) == 7
    assert min(instance.area for one in renderings for instance in one.instances) >= 0.003 * 64**2
    widths = [instance.bbox[2] for one in renderings for instance in one.instances if instance.class_name != 'figure']
    assert 8 <= np.quantile(widths, 0.2) and np.quantile(widths, 0.8) <= 24


def test_occlusion_and_shadows_occur(renderings):
    hidden = 0
    for one in renderings:
        for instance in one.instances:
            alone = render(replace(one.scene, objects=(one.scene.objects[instance.index],)), 64)
            hidden += instance.area < 0.9 * alone.instances[0].area
    floors = [one.semantic == TOY_CLASSES.index('floor') for one in renderings]
    cast = [(one.shadow & floor).sum() / floor.sum() for one, floor in zip(renderings, floors, strict=True)]
    assert hidden > 0.1 * sum(len(one.instances) for one in renderings)
    assert np.mean(np.array(cast) > 0.01) > 0.7


def test_objects_do_not_touch():
    rng = np.random.default_rng(0)
    for index in range(12):
        objects = sample_scene([9, index]).objects
        for one in objects:
            for part in one.parts:
                points = part.centre + (rng.uniform(-1, 1, (300, 3)) * part.half_extents) @ part.rotation.T
                inside = contains(part, points)
                others = [other for thing in objects if thing is not one for other in thing.parts]
                assert not any((contains(other, points) & inside).any() for other in others)


def contains(part, points):
    """Whether a vertical ray through each point enters below and leaves above it."""
    up = np.tile(np.array([[0, 1, 0]], np.float32), (len(points), 1))
    t_in, t_out = part.intersect(points.astype(np.float32), up)
    return (t_in < 0) & (t_out > 0)


def test_objects_stand_on_the_floor():
    for index in range(12):
        for thing in sample_scene([10, index]).objects:
            lowest = min(
                part.centre[1] - part.half_extents[1]
                for part in thing.parts
                if part.shape == 'sphere' or thing.class_name != 'figure'
            )
            assert lowest == pytest.approx(0, abs=0.06)


def test_light_and_pictures_are_varied(renderings):
    brightness = np.array([one.image.mean() for one in renderings])
    lights = np.array([one.scene.light.position for one in renderings])
    assert 50 < brightness.min() and brightness.max() < 220 and brightness.std() > 10
    assert (lights.std(axis=0) > 0.5).all()


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
def test_every_pattern_of_a_domain_occurs(domain):
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
