"""Draw random scenes: :func:`.sample_scene`."""

from dataclasses import replace

import numpy as np

from .camera import Camera
from .domains import DOMAINS
from .objects import random_object
from .raycast import trace
from .scene import Light, Plane, Scene
from .textures import Material
from .vocabulary import OBJECT_CLASSES, ROOM_COLOURS, SCENE_CATEGORIES, jittered

MIN_OBJECTS, MAX_OBJECTS = 3, 7
FIGURE_PROBABILITY = 0.5
PLACING_ATTEMPTS = 25
GAP = 0.04
# What is hidden more than this, or smaller than this part of the picture, is taken out of the scene.
MIN_VISIBLE, MIN_AREA = 0.25, 0.004
PROBE_SIZE = 64


def sample_scene(seed, domain='a'):
    """Draw a scene.

    Args:
        seed (int | Sequence[int] | np.random.Generator): Anything ``np.random.default_rng`` takes; equal seeds give
            equal scenes, bit for bit.
        domain (str): 'a', or 'b' for the same classes with other patterns, tints, light and contrast.
            Defaults to 'a'.

    Returns:
        Scene: Three to seven objects that do not touch each other, each in sight.

    Raises:
        ValueError: For an unknown domain.
    """
    if domain not in DOMAINS:
        raise ValueError(f'domain must be one of {tuple(DOMAINS)}, got {domain!r}.')
    rng = np.random.default_rng(seed)
    scene = _draw(rng, domain)
    while len(scene.objects) < MIN_OBJECTS:
        scene = _draw(rng, domain)
    return scene


def _draw(rng, name):
    """Draw a scene; few of its objects may be left if they hide each other."""
    domain = DOMAINS[name]
    category = str(rng.choice(list(SCENE_CATEGORIES)))
    walls, floors = SCENE_CATEGORIES[category]
    wall_colour, floor_colour = str(rng.choice(walls)), str(rng.choice(floors))
    camera = Camera(rng.uniform(1.35, 2.1), np.deg2rad(rng.uniform(11, 21)), rng.uniform(1.0, 1.25))
    planes, back, sides = _room(rng, wall_colour, floor_colour, domain)
    light = _light(rng, back, sides, domain)
    scene = Scene(camera, light, planes, (), category, wall_colour, floor_colour, name)
    return _without_hidden(replace(scene, objects=_objects(rng, camera, back, sides, domain)))


def _room(rng, wall_colour, floor_colour, domain):
    """Floor, back wall and perhaps a side wall; also where they stand: the back's z, the sides' x."""
    back, sides = -rng.uniform(4.6, 7.0), [-np.inf, np.inf]
    wall = _room_material(rng, wall_colour, domain.wall_patterns, domain)
    planes = [
        Plane(
            'floor',
            np.array([0, 1, 0], np.float32),
            0.0,
            _room_material(rng, floor_colour, domain.floor_patterns, domain),
        ),
        Plane('wall', np.array([0, 0, 1], np.float32), float(back), wall),
    ]
    if rng.random() < 0.5:
        inwards = int(rng.choice([-1, 1]))
        distance = float(rng.uniform(1.6, 2.6))
        sides[(1 - inwards) // 2] = -inwards * distance
        planes.append(Plane('wall', np.array([inwards, 0, 0], np.float32), -distance, wall))
    return tuple(planes), back, sides


def _room_material(rng, colour_name, patterns, domain):
    colour = jittered(ROOM_COLOURS[colour_name], rng, 0.025) * domain.tint
    accent = np.clip(colour * rng.uniform(0.68, 0.88), 0.02, 0.98)
    return Material(
        colour.clip(0.02, 0.98).astype(np.float32),
        accent.astype(np.float32),
        str(rng.choice(patterns)),
        float(rng.uniform(0.3, 0.8)),
        rng.uniform(0.2, 0.8, 3).astype(np.float32),
    )


def _light(rng, back, sides, domain):
    """Return a lamp above and mostly on the viewer's side, inside the room."""
    azimuth, distance = rng.uniform(-1.3, 1.3), rng.uniform(3.0, 9.0)
    height = rng.uniform(*domain.lamp_height)
    position = np.array([distance * np.sin(azimuth), height, 0.6 * back + distance * np.cos(azimuth)])
    position[0] = np.clip(position[0], sides[0] + 0.4, sides[1] - 0.4)
    strength, ambient = rng.uniform(*domain.lamp_strength), rng.uniform(*domain.ambient)
    colour = strength * domain.tint * rng.normal(1, 0.04, 3)
    return Light(position.astype(np.float32), colour.astype(np.float32), np.full(3, ambient, np.float32))


def _objects(rng, camera, back, sides, domain):
    """Return objects on the floor with circular footprints that do not meet; nearer ones may hide farther ones."""
    placed, footprints = [], []
    shapes = rng.choice(OBJECT_CLASSES, rng.integers(MIN_OBJECTS, MAX_OBJECTS + 1)).tolist()
    if rng.random() < FIGURE_PROBABILITY:
        shapes[0] = 'figure'
    for shape in shapes:
        for _ in range(PLACING_ATTEMPTS):
            thing, radius, z = random_object(rng, shape, camera, back, domain)
            x = rng.uniform(-0.42, 0.42) * -z / camera.focal
            inside = sides[0] + radius + GAP < x < sides[1] - radius - GAP and z - radius - GAP > back
            if inside and all(np.hypot(x - u, z - v) > radius + r + GAP for u, v, r in footprints):
                placed.append(thing.placed(rng.uniform(0, 2 * np.pi), (x, 0, z)))
                footprints.append((x, z, radius))
                break
    return tuple(placed)


def _without_hidden(scene):
    """Take out objects of which too little shows."""
    _, _, surface = trace(scene, PROBE_SIZE, PROBE_SIZE)
    kept, start = [], len(scene.planes)
    for thing in scene.objects:
        visible = ((surface >= start) & (surface < start + len(thing.parts))).sum()
        _, _, alone = trace(replace(scene, objects=(thing,)), PROBE_SIZE, PROBE_SIZE)
        if visible >= max(MIN_VISIBLE * (alone >= len(scene.planes)).sum(), MIN_AREA * PROBE_SIZE**2):
            kept.append(thing)
        start += len(thing.parts)
    return replace(scene, objects=tuple(kept))
