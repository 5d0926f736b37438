"""Random scenes: :func:`.sample_scene`."""

from dataclasses import replace

import numpy as np

from .domains import DOMAINS
from .drawing import draw_pen
from .figure import make_figure
from .outdoors import BACK, draw_camera, draw_ground, draw_scenery, draw_sky, draw_sun
from .raycast import trace
from .scene import Camera, Light, Noise, Part, Plane, Scene, SceneObject
from .textures import Material
from .vocabulary import OBJECT_CLASSES, OBJECT_COLOURS, ROOM_COLOURS, SCENE_CATEGORIES, jittered

MIN_OBJECTS, MAX_OBJECTS = 3, 7
FIGURE_PROBABILITY = 0.5
PLACING_ATTEMPTS = 25
GAP = 0.04
# An object is removed if less than this part of it is visible, or if it covers less than this part of the image.
MIN_VISIBLE, MIN_AREA = 0.25, 0.004
PROBE_SIZE = 64
# Of repeated objects, this part have the same colour, too.
SAME_COLOUR = 0.5
# Ranges of height / width.
HEIGHTS = {
    'sphere': (1.0, 1.0),
    'box': (0.6, 1.2),
    'cylinder': (0.6, 1.7),
    'cone': (0.6, 1.8),
    'pyramid': (0.6, 1.5),
    'wedge': (0.45, 1.2),
    'dome': (0.65, 0.65),
    'diamond': (0.6, 1.5),
}
# Shapes with a circular footprint: their depth is their width.
ROUND = ('sphere', 'cylinder', 'cone', 'dome', 'diamond')


def sample_scene(seed, domain='a'):
    """Draw a scene.

    Args:
        seed (int | Sequence[int] | np.random.Generator): Anything that ``np.random.default_rng`` accepts.
            Equal seeds give equal scenes, bit for bit.
        domain (str): Key of ``DOMAINS``. Defaults to 'a'.

    Returns:
        Scene: A scene with three to seven visible objects that do not touch each other.

    Raises:
        ValueError: The domain is unknown.
    """
    if domain not in DOMAINS:
        raise ValueError(f'domain must be one of {tuple(DOMAINS)}, got {domain!r}.')
    rng = np.random.default_rng(seed)
    scene = _draw(rng, domain)
    while len(scene.objects) < MIN_OBJECTS:
        scene = _draw(rng, domain)
    return scene


def _draw(rng, name):
    """Draw a scene. It may have few objects left if they hide each other."""
    return _without_hidden((_draw_outdoors if DOMAINS[name].outdoors else _draw_indoors)(rng, name))


def _draw_indoors(rng, name):
    domain = DOMAINS[name]
    category = str(rng.choice(list(SCENE_CATEGORIES)))
    walls, floors = SCENE_CATEGORIES[category]
    wall_colour, floor_colour = str(rng.choice(walls)), str(rng.choice(floors))
    camera = Camera(rng.uniform(1.35, 2.1), np.deg2rad(rng.uniform(11, 21)), rng.uniform(1.0, 1.25))
    planes, back, sides = _room(rng, wall_colour, floor_colour, domain)
    light = _light(rng, back, sides, domain)
    objects, _ = _objects(rng, camera, back, sides, domain)
    pen = draw_pen(rng) if domain.drawn else None
    noise = Noise(rng.uniform(*domain.noise), int(rng.integers(2**32))) if domain.noise else None
    return Scene(camera, light, planes, objects, category, wall_colour, floor_colour, name, pen=pen, noise=noise)


def _draw_outdoors(rng, name):
    domain, camera, sky = DOMAINS[name], draw_camera(rng), draw_sky(rng)
    light, (ground, plane) = draw_sun(rng, sky, domain), draw_ground(rng)
    objects, footprints = _objects(rng, camera, BACK, (-np.inf, np.inf), domain)
    scenery = _scenery(rng, camera, sky, footprints)
    return Scene(
        camera, light, (plane,), objects, 'outdoors', None, None, name, ground=ground, sky=sky, scenery=scenery
    )


def _room(rng, wall_colour, floor_colour, domain):
    """Return the floor, back wall and perhaps a side wall, the z of the back wall and the x of the side walls."""
    back, sides = -rng.uniform(4.6, 7.0), [-np.inf, np.inf]
    wall = _room_material(rng, wall_colour, domain.wall_patterns, domain)
    floor = _room_material(rng, floor_colour, domain.floor_patterns, domain)
    planes = [
        Plane('floor', np.array([0, 1, 0], np.float32), 0.0, floor),
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
    """Return a lamp inside the room, above the objects and mostly on the side of the viewer."""
    azimuth, distance = rng.uniform(-1.3, 1.3), rng.uniform(3.0, 9.0)
    height = rng.uniform(*domain.lamp_height)
    position = np.array([distance * np.sin(azimuth), height, 0.6 * back + distance * np.cos(azimuth)])
    position[0] = np.clip(position[0], sides[0] + 0.4, sides[1] - 0.4)
    strength, ambient = rng.uniform(*domain.lamp_strength), rng.uniform(*domain.ambient)
    colour = strength * domain.tint * rng.normal(1, 0.04, 3)
    if domain.lamp_saturation:
        hue = 1 - domain.lamp_saturation * rng.random(3)
        colour *= hue / hue.max()
    return Light(position.astype(np.float32), colour.astype(np.float32), np.full(3, ambient, np.float32))


def _objects(rng, camera, back, sides, domain):
    """Return objects whose circular footprints on the floor do not overlap; nearer ones may hide farther ones.

    Returns:
        tuple[tuple[SceneObject], list[tuple[float]]]: The objects, and their footprints (x, z, radius).
    """
    placed, footprints = [], []
    shapes = rng.choice(OBJECT_CLASSES, rng.integers(MIN_OBJECTS, MAX_OBJECTS + 1)).tolist()
    if rng.random() < FIGURE_PROBABILITY:
        shapes[0] = 'figure'
    colours = [None] * len(shapes)
    if domain.repetition and rng.random() < domain.repetition:
        _repeat(rng, shapes, colours)
    for shape, colour in zip(shapes, colours, strict=True):
        for _ in range(PLACING_ATTEMPTS):
            thing, radius, z = random_object(rng, shape, camera, back, domain, colour)
            x = rng.uniform(-0.42, 0.42) * -z / camera.focal
            inside = sides[0] + radius + GAP < x < sides[1] - radius - GAP and z - radius - GAP > back
            if inside and _is_free(x, z, radius, footprints):
                placed.append(thing.placed(rng.uniform(0, 2 * np.pi), (x, 0, z)))
                footprints.append((x, z, radius))
                break
    return tuple(placed), footprints


def _repeat(rng, shapes, colours):
    """Give the last two to four shapes one class and perhaps one colour."""
    count = min(int(rng.integers(2, 5)), len(shapes) - 1)
    shapes[-count:] = [shapes[-1]] * count
    if rng.random() < SAME_COLOUR:
        colours[-count:] = [str(rng.choice(list(OBJECT_COLOURS)))] * count


def _scenery(rng, camera, sky, footprints):
    """Return the scenery, between and behind the objects."""
    placed, taken = [], list(footprints)
    for thing, radius, distances in draw_scenery(rng, sky):
        for _ in range(PLACING_ATTEMPTS):
            z = -rng.uniform(*distances)
            x = rng.uniform(-0.5, 0.5) * -z / camera.focal
            if _is_free(x, z, radius, taken):
                placed.append(thing.placed(rng.uniform(0, 2 * np.pi), (x, 0, z)))
                taken.append((x, z, radius))
                break
    return tuple(placed)


def _is_free(x, z, radius, footprints):
    return all(np.hypot(x - u, z - v) > radius + r + GAP for u, v, r in footprints)


def _without_hidden(scene):
    """Remove objects that are barely visible, and scenery of which little is visible."""
    _, _, surface = trace(scene, PROBE_SIZE, PROBE_SIZE)
    visible = np.bincount(surface[surface >= 0], minlength=len(scene.planes) + len(scene.parts))
    objects, scenery, start = [], [], len(scene.planes)
    for number, thing in enumerate(scene.things):
        area = visible[start : start + len(thing.parts)].sum()
        start += len(thing.parts)
        if area < MIN_AREA * PROBE_SIZE**2:
            continue
        if number >= len(scene.objects):
            scenery.append(thing)
        elif area >= MIN_VISIBLE * _area_alone(scene, thing):
            objects.append(thing)
    return replace(scene, objects=tuple(objects), scenery=tuple(scenery))


def _area_alone(scene, thing):
    """Return the number of pixels of the probe that show an object if nothing hides it."""
    _, _, surface = trace(replace(scene, objects=(thing,), scenery=()), PROBE_SIZE, PROBE_SIZE)
    return (surface >= len(scene.planes)).sum()


def random_object(rng, shape, camera, back, domain, colour=None):
    """Draw a random object of a class.

    Args:
        rng (np.random.Generator): Source of randomness.
        shape (str): One of ``OBJECT_CLASSES``, or 'figure'.
        camera (Camera): The viewer, which determines how large the object has to be.
        back (float): The z of the back wall, or of the farthest object.
        domain (Domain): Its appearance.
        colour (str, optional): Key of ``OBJECT_COLOURS``. Default: a random one.

    Returns:
        tuple[SceneObject, float, float]: The object at the origin, the radius of its footprint, and the z at which to
        place it.
    """
    if shape == 'figure':
        return _figure(rng, back, domain)
    z = rng.uniform(back + 0.4, -domain.nearest)
    # The apparent width determines the size, so that distant objects remain recognisable.
    width = np.clip(rng.uniform(0.15, 0.34) * -z / camera.focal, 0.35, domain.max_width)
    depth = 1.0 if shape in ROUND else rng.uniform(0.65, 1.0)
    half_extents = width / 2 * np.array([1.0, rng.uniform(*HEIGHTS[shape]), depth])
    radius = half_extents[0] if shape in ROUND else np.hypot(half_extents[0], half_extents[2])
    name, material = _paint(rng, domain, colour)
    centre = np.array([0, half_extents[1], 0], np.float32)
    part = Part(shape, centre, half_extents.astype(np.float32), np.eye(3, dtype=np.float32), material)
    return SceneObject(shape, name, (part,)), radius, z


def _paint(rng, domain, name=None):
    """Return the name of a colour, by default a random one, and a material of roughly that colour."""
    name = name or str(rng.choice(list(OBJECT_COLOURS)))
    colour = np.clip(jittered(OBJECT_COLOURS[name], rng, 0.04) * domain.tint, 0.02, 0.98).astype(np.float32)
    accent = colour * rng.uniform(0.55, 0.8) if rng.random() < 0.5 else colour + rng.uniform(0.25, 0.45) * (1 - colour)
    specular = rng.uniform(0.25, 0.6) if rng.random() < 0.3 else 0.0
    return name, Material(
        colour,
        accent.astype(np.float32),
        str(rng.choice(domain.object_patterns)),
        float(rng.uniform(0.14, 0.3)),
        rng.uniform(0.2, 0.8, 3).astype(np.float32),
        float(specular),
    )


def _figure(rng, back, domain):
    name, material = _paint(rng, domain)
    figure = make_figure(rng, name, material.colour, rng.uniform(1.2, 1.75))
    reach = max(np.hypot(part.centre[0], part.centre[2]) + part.half_extents[0] for part in figure.parts)
    nearest, farthest = domain.figure_distance
    return figure, reach, rng.uniform(max(back + 0.7, -farthest), -nearest)
