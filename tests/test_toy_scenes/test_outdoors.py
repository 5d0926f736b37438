from collections import Counter

import numpy as np
import pytest

from mmdiffperc.toy_scenes import TOY_CLASSES, render, sample_scene
from mmdiffperc.toy_scenes.outdoors import GROUNDS, MIN_TRANSMITTANCE, SCENERY, SKIES
from mmdiffperc.toy_scenes.raycast import FAR
from mmdiffperc.toy_scenes.vocabulary import IGNORED

NUM_SCENES = 60


@pytest.fixture(scope='module')
def renderings():
    return [render(sample_scene([11, index], 'c'), 64) for index in range(NUM_SCENES)]


def test_every_ground_sky_and_kind_of_scenery_occurs(renderings):
    scenes = [one.scene for one in renderings]
    assert Counter(scene.ground for scene in scenes).keys() == GROUNDS.keys()
    assert Counter(scene.sky.name for scene in scenes).keys() == SKIES.keys()
    assert Counter(thing.class_name for scene in scenes for thing in scene.scenery).keys() == SCENERY.keys()
    assert 0.3 < np.mean([scene.sky.fog > 0 for scene in scenes]) < 0.7
    assert np.mean([len(scene.scenery) > 0 for scene in scenes]) > 0.7


def test_sky_has_no_class_depth_or_normal(renderings):
    for one in renderings:
        sky = one.depth == 0
        assert 0.1 < sky.mean() < 0.5 and sky[0].any() and not sky[-1].any()
        assert (one.semantic[sky] == IGNORED).all() and (one.instance_map[sky] == 0).all()
        assert (one.normals[sky] == 0).all() and not one.shadow[sky].any()
        assert (one.shading[sky] == 1).all()
        np.testing.assert_allclose(np.linalg.norm(one.normals[~sky], axis=-1), 1, atol=1e-4)
        assert 1 < one.depth[~sky].min() and one.depth.max() <= FAR < 2**16 / 1000


def test_scenery_has_no_class_but_the_ground_and_objects_do(renderings):
    floor, wall = TOY_CLASSES.index('floor'), TOY_CLASSES.index('wall')
    for one in renderings:
        known = one.semantic != IGNORED
        assert ((one.semantic == floor) == (known & (one.instance_map == 0))).all()
        assert not (one.semantic == wall).any()
        hidden = (one.depth > 0) & ~known
        assert hidden.any() == bool(one.scene.scenery)


def test_image_is_explained_only_in_clear_air(renderings):
    for one in renderings:
        explained = ~one.unexplained
        if one.scene.sky.fog:
            assert explained.mean() < 0.1
        else:
            error = abs(one.image / 255 - one.albedo * one.shading)[explained]
            assert explained.mean() > 0.4 and error.max() <= 0.5 / 255 + 1e-5


def test_fog_follows_its_formula_at_every_distance(renderings):
    foggy = next(one for one in renderings if one.scene.sky.fog > 0.04)
    rays = foggy.scene.camera.rays(64, 64)
    matt = (foggy.depth > 0) & (foggy.albedo * foggy.shading < 1).all(axis=-1) & (foggy.instance_map == 0)
    distance = (foggy.depth * np.linalg.norm(rays, axis=-1))[matt][:, None]
    t = np.exp(-foggy.scene.sky.fog * distance)
    expected = t * (foggy.albedo * foggy.shading)[matt] + (1 - t) * foggy.scene.sky.fog_colour
    assert abs(foggy.image[matt] / 255 - expected).max() <= 0.5 / 255 + 1e-5


def test_nothing_is_lost_in_fog(renderings):
    for scene in (one.scene for one in renderings if one.scene.sky.fog):
        for thing in scene.objects + scene.scenery:
            assert np.exp(scene.sky.fog * thing.position[2]) > MIN_TRANSMITTANCE - 0.01


def test_distances_exceed_the_rooms(renderings):
    objects = [-instance.position[2] for one in renderings for instance in one.instances]
    scenery = [-thing.position[2] for one in renderings for thing in one.scene.scenery]
    assert 3 < min(objects) and 11 < max(objects) < 16
    assert 4 < min(scenery) and 20 < max(scenery) < 29


@pytest.mark.parametrize('name', SCENERY)
def test_scenery_stands_on_the_ground_within_its_footprint(name):
    rng = np.random.default_rng(0)
    for _ in range(5):
        parts, radius = SCENERY[name].make(rng)
        lowest = min(part.centre[1] - part.half_extents[1] for part in parts)
        assert -0.3 < lowest < 0.01
        for part in parts:
            assert np.hypot(part.centre[0], part.centre[2]) + part.half_extents[0] <= radius + 0.2
