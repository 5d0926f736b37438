"""Draw random scenes: `sample_scene`."""

from dataclasses import replace

import numpy as np

from .figure import make_figure
from .raycast import trace
from .scene import Camera, Light, Part, Plane, Scene, SceneObject
from .textures import Material
from .vocabulary import (DOMAINS, FLOOR_PATTERNS, OBJECT_CLASSES, OBJECT_COLOURS, OBJECT_PATTERNS, ROOM_COLOURS,
                         SCENE_CATEGORIES, WALL_PATTERNS, jittered)

MIN_OBJECTS, MAX_OBJECTS = 3, 7
FIGURE_PROBABILITY = 0.5
PLACING_ATTEMPTS = 25
# What is hidden more than this, or smaller than this part of the picture, is taken out of the scene.
MIN_VISIBLE, MIN_AREA = 0.25, 0.004
PROBE_SIZE = 64
NEAREST = 2.3
GAP = 0.04
# Light and paint of the shifted domain both lean towards a hue; not so far that a colour loses its name.
TINT = {'a': np.array([1.0, 1.0, 1.0]), 'b': np.array([1.04, 0.98, 0.89])}


def sample_scene(seed, domain='a'):
    """Draw a scene.

    Args:
        seed (int | Sequence[int] | np.random.Generator): Anything `np.random.default_rng` takes; equal seeds give equal
            scenes, bit for bit.
        domain (str): 'a', or 'b' for the same classes with other patterns, tints, light and contrast.

    Returns:
        Scene: Three to seven objects that do not touch each other, each in sight.

    Raises:
        ValueError: For an unknown domain.
    """
    if domain not in DOMAINS:
        raise ValueError(f'domain must be one of {DOMAINS}, got {domain!r}.')
    rng = np.random.default_rng(seed)
    scene = _draw(rng, domain)
    while len(scene.objects) < MIN_OBJECTS:
        scene = _draw(rng, domain)
    return scene


def _draw(rng, domain):
    """Draw a scene; few of its objects may be left if they hide each other."""
    category = str(rng.choice(list(SCENE_CATEGORIES)))
    walls, floors = SCENE_CATEGORIES[category]
    wall_colour, floor_colour = str(rng.choice(walls)), str(rng.choice(floors))
    camera = Camera(rng.uniform(1.35, 2.1), np.deg2rad(rng.uniform(11, 21)), rng.uniform(1.0, 1.25))
    planes, back, sides = _room(rng, wall_colour, floor_colour, domain)
    light = _light(rng, back, sides, domain)
    scene = Scene(camera, light, planes, (), category, wall_colour, floor_colour, domain)
    return _without_hidden(replace(scene, objects=_objects(rng, camera, back, sides, domain)))


def _room(rng, wall_colour, floor_colour, domain):
    """Floor, back wall and perhaps a side wall; also where they stand: the back's z, the sides' x."""
    back, sides = -rng.uniform(4.6, 7.0), [-np.inf, np.inf]
    wall = _room_material(rng, wall_colour, WALL_PATTERNS[domain], domain)
    planes = [Plane('floor', np.array([0, 1, 0], np.float32), 0.0,
                    _room_material(rng, floor_colour, FLOOR_PATTERNS[domain], domain)),
              Plane('wall', np.array([0, 0, 1], np.float32), float(back), wall)]
    if rng.random() < 0.5:
        inwards = int(rng.choice([-1, 1]))
        distance = float(rng.uniform(1.6, 2.6))
        sides[(1 - inwards) // 2] = -inwards * distance
        planes.append(Plane('wall', np.array([inwards, 0, 0], np.float32), -distance, wall))
    return tuple(planes), back, sides


def _room_material(rng, colour_name, patterns, domain):
    colour = jittered(ROOM_COLOURS[colour_name], rng, 0.025) * TINT[domain]
    accent = np.clip(colour * rng.uniform(0.68, 0.88), 0.02, 0.98)
    return Material(colour.clip(0.02, 0.98).astype(np.float32), accent.astype(np.float32), str(rng.choice(patterns)),
                    float(rng.uniform(0.3, 0.8)), rng.uniform(0.2, 0.8, 3).astype(np.float32))


def _light(rng, back, sides, domain):
    """A lamp above and mostly on the viewer's side, inside the room; lower, harsher and warmer in domain b."""
    azimuth, distance = rng.uniform(-1.3, 1.3), rng.uniform(3.0, 9.0)
    low, high = (3.0, 6.0) if domain == 'a' else (2.0, 3.6)
    position = np.array([distance * np.sin(azimuth), rng.uniform(low, high), 0.6 * back + distance * np.cos(azimuth)])
    position[0] = np.clip(position[0], sides[0] + 0.4, sides[1] - 0.4)
    strength, ambient = (rng.uniform(0.55, 0.80), rng.uniform(0.40, 0.56)) if domain == 'a' else (
        rng.uniform(0.80, 1.00), rng.uniform(0.22, 0.34))
    colour = strength * TINT[domain] * rng.normal(1, 0.04, 3)
    return Light(position.astype(np.float32), colour.astype(np.float32), np.full(3, ambient, np.float32))


def _objects(rng, camera, back, sides, domain):
    """Objects on the floor with circular footprints that do not meet; nearer ones may hide farther ones."""
    placed, footprints = [], []
    shapes = rng.choice(OBJECT_CLASSES, rng.integers(MIN_OBJECTS, MAX_OBJECTS + 1)).tolist()
    if rng.random() < FIGURE_PROBABILITY:
        shapes[0] = 'figure'
    for shape in shapes:
        for _ in range(PLACING_ATTEMPTS):
            thing, radius, z = (_figure if shape == 'figure' else _solid)(rng, shape, camera, back, domain)
            x = rng.uniform(-0.42, 0.42) * -z / camera.focal
            inside = sides[0] + radius + GAP < x < sides[1] - radius - GAP and z - radius - GAP > back
            if inside and all(np.hypot(x - u, z - v) > radius + r + GAP for u, v, r in footprints):
                placed.append(thing.placed(rng.uniform(0, 2 * np.pi), (x, 0, z)))
                footprints.append((x, z, radius))
                break
    return tuple(placed)


def _solid(rng, shape, camera, back, domain):
    """A solid at the origin, the radius of its footprint, and the z where it shall stand."""
    z = rng.uniform(back + 0.4, -NEAREST)
    # Sized by how wide it looks, so that far objects can still be made out.
    width = np.clip(rng.uniform(0.15, 0.34) * -z / camera.focal, 0.35, 1.5)
    half_extents = width / 2 * _proportions(rng, shape)
    radius = half_extents[0] if shape == 'sphere' else np.hypot(half_extents[0], half_extents[2])
    if shape in ('cylinder', 'cone', 'dome', 'diamond'):
        radius = max(half_extents[0], half_extents[2])
    name, material = _paint(rng, domain)
    part = Part(shape, np.array([0, half_extents[1], 0], np.float32), half_extents.astype(np.float32),
                np.eye(3, dtype=np.float32), material)
    return SceneObject(shape, name, (part, )), radius, z


def _proportions(rng, shape):
    """Half extents relative to half the width."""
    if shape == 'sphere':
        return np.ones(3)
    tallest = {'cylinder': 1.7, 'cone': 1.8, 'pyramid': 1.5, 'diamond': 1.5}.get(shape, 1.2)
    lowest = {'dome': 0.4, 'wedge': 0.45}.get(shape, 0.6)
    tall = 0.65 if shape == 'dome' else rng.uniform(lowest, tallest)
    depth = 1.0 if shape in ('cylinder', 'cone', 'dome', 'diamond') else rng.uniform(0.65, 1.0)
    return np.array([1.0, tall, depth])


def _paint(rng, domain):
    """A named colour and a material of about that colour."""
    name = str(rng.choice(list(OBJECT_COLOURS)))
    colour = np.clip(jittered(OBJECT_COLOURS[name], rng, 0.04) * TINT[domain], 0.02, 0.98).astype(np.float32)
    accent = colour * rng.uniform(0.55, 0.8) if rng.random() < 0.5 else colour + rng.uniform(0.25, 0.45) * (1 - colour)
    specular = rng.uniform(0.25, 0.6) if rng.random() < 0.3 else 0.0
    return name, Material(colour, accent.astype(np.float32), str(rng.choice(OBJECT_PATTERNS[domain])),
                          float(rng.uniform(0.14, 0.3)), rng.uniform(0.2, 0.8, 3).astype(np.float32), float(specular))


def _figure(rng, shape, camera, back, domain):
    """A figure, placed as `_solid` places a solid."""
    name, material = _paint(rng, domain)
    figure = make_figure(rng, name, material.colour, rng.uniform(1.2, 1.75))
    reach = max(np.hypot(part.centre[0], part.centre[2]) + part.half_extents[0] for part in figure.parts)
    return figure, reach, rng.uniform(max(back + 0.7, -5.5), -3.0)


def _without_hidden(scene):
    """Take out objects of which too little shows."""
    _, _, surface = trace(scene, PROBE_SIZE, PROBE_SIZE)
    kept, start = [], len(scene.planes)
    for thing in scene.objects:
        visible = ((surface >= start) & (surface < start + len(thing.parts))).sum()
        _, _, alone = trace(replace(scene, objects=(thing, )), PROBE_SIZE, PROBE_SIZE)
        if visible >= max(MIN_VISIBLE * (alone >= len(scene.planes)).sum(), MIN_AREA * PROBE_SIZE**2):
            kept.append(thing)
        start += len(thing.parts)
    return replace(scene, objects=tuple(kept))
