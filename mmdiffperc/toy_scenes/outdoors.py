"""What domain c has instead of a room: ground, sky and sun, and trees, bushes, houses, rocks and posts."""

from typing import NamedTuple

import numpy as np

from .scene import Camera, Light, Part, Plane, SceneObject
from .sky import CLOUD_WAVES, Sky
from .textures import Material
from .vocabulary import jittered


class Ground(NamedTuple):
    """The ground: albedo, key of ``PATTERNS``, and range of the cell size in metres."""

    colour: tuple
    pattern: str
    cell: tuple


class Weather(NamedTuple):
    """A sky: radiance overhead and at the horizon, share of clouds, and the colours of sunlight and ambient light."""

    zenith: tuple
    horizon: tuple
    cloud_cover: float
    sun: tuple
    ambient: tuple


GROUNDS = {
    'grass': Ground((0.36, 0.47, 0.17), 'blades', (0.05, 0.09)),
    'sand': Ground((0.79, 0.67, 0.44), 'ripples', (0.25, 0.45)),
    'snow': Ground((0.90, 0.93, 0.97), 'drifts', (0.5, 1.0)),
    'asphalt': Ground((0.34, 0.34, 0.36), 'grains', (0.04, 0.07)),
}
SKIES = {
    'blue': Weather((0.22, 0.45, 0.84), (0.68, 0.82, 0.94), 0.0, (1.0, 0.98, 0.94), (0.96, 1.0, 1.06)),
    'cloudy': Weather((0.30, 0.52, 0.85), (0.76, 0.85, 0.93), 0.5, (0.90, 0.90, 0.88), (1.04, 1.06, 1.10)),
    'grey': Weather((0.56, 0.58, 0.62), (0.74, 0.75, 0.77), 0.0, (0.35, 0.35, 0.35), (1.50, 1.50, 1.52)),
    'orange': Weather((0.42, 0.40, 0.62), (0.97, 0.64, 0.36), 0.25, (1.12, 0.88, 0.62), (0.98, 0.92, 0.94)),
    'dark': Weather((0.05, 0.07, 0.19), (0.27, 0.30, 0.44), 0.0, (0.80, 0.82, 0.92), (0.98, 1.0, 1.12)),
}
SUN_DISTANCE = 300.0  # in metres: far enough away that its rays are all but parallel
# Ranges of the fog's extinction per metre: clear air twice, light fog, dense fog.
FOGS = ((0, 0), (0, 0), (0.02, 0.035), (0.045, 0.07))
MAX_KINDS = 3  # of scenery in one scene
# Scenery stands no farther than where the fog leaves this part of its light.
MIN_TRANSMITTANCE = 0.3
BACK = -14.0  # the z of the farthest object

LEAVES = ((0.15, 0.38, 0.13), (0.24, 0.44, 0.15), (0.36, 0.46, 0.14), (0.60, 0.36, 0.10))
BARK = (0.28, 0.19, 0.12)
STONE = ((0.46, 0.45, 0.44), (0.36, 0.35, 0.36), (0.56, 0.51, 0.45))
PLASTER = ((0.86, 0.80, 0.68), (0.74, 0.46, 0.36), (0.80, 0.82, 0.84), (0.66, 0.56, 0.44))
ROOFS = ((0.48, 0.16, 0.11), (0.26, 0.24, 0.26), (0.40, 0.28, 0.20))


def draw_camera(rng):
    """Draw a viewer who sees more of the horizon than in a room."""
    return Camera(rng.uniform(1.4, 2.3), np.deg2rad(rng.uniform(5, 13)), rng.uniform(1.0, 1.25))


def draw_ground(rng):
    """Draw a ground; return its name and the plane."""
    name = str(rng.choice(list(GROUNDS)))
    ground = GROUNDS[name]
    colour = jittered(ground.colour, rng, 0.015)
    accent = (colour * rng.uniform(0.70, 0.84)).astype(np.float32)
    phase = rng.uniform(0.2, 0.8, 3).astype(np.float32)
    material = Material(colour, accent, ground.pattern, float(rng.uniform(*ground.cell)), phase)
    return name, Plane('floor', np.array([0, 1, 0], np.float32), 0.0, material)


def draw_sky(rng):
    """Draw a sky, with fog in half of the cases."""
    name = str(rng.choice(list(SKIES)))
    weather, brightness = SKIES[name], rng.uniform(0.92, 1.02)
    zenith, horizon = (
        (np.array(colour) * brightness + rng.normal(0, 0.015, 3)).clip(0, 1).astype(np.float32)
        for colour in (weather.zenith, weather.horizon)
    )
    fog = float(rng.uniform(*FOGS[rng.integers(len(FOGS))]))
    return Sky(name, zenith, horizon, weather.cloud_cover, rng.uniform(0, 2 * np.pi, len(CLOUD_WAVES)), fog)


def draw_sun(rng, sky, domain):
    """Return the sun, behind or beside the viewer, and the light of the sky."""
    weather, azimuth, height = SKIES[sky.name], rng.uniform(-1.9, 1.9), rng.uniform(*domain.lamp_height)
    across = np.sqrt(SUN_DISTANCE**2 - height**2)
    position = np.array([across * np.sin(azimuth), height, across * np.cos(azimuth)], np.float32)
    colours = [
        (rng.uniform(*strength) * np.array(colour)).astype(np.float32)
        for strength, colour in ((domain.lamp_strength, weather.sun), (domain.ambient, weather.ambient))
    ]
    return Light(position, *colours)


def draw_scenery(rng, sky):
    """Draw what stands around.

    Returns:
        list[tuple[SceneObject, float, tuple[float]]]: For each thing: itself, at the origin; the radius of its
        footprint; and the range of distances, in metres, at which to place it.
    """
    visibility = -np.log(MIN_TRANSMITTANCE) / sky.fog if sky.fog else np.inf
    things = []
    for name in rng.permutation(list(SCENERY))[: rng.integers(1, MAX_KINDS + 1)].tolist():
        kind = SCENERY[name]
        distances = kind.nearest, min(kind.farthest, visibility)
        for _ in range(rng.integers(1, kind.most + 1)):
            parts, radius = kind.make(rng)
            things.append((SceneObject(name, None, tuple(parts)), radius, distances))
    return things


def _part(shape, centre, half_extents, material):
    centre, half_extents = (np.array(vector, np.float32) for vector in (centre, half_extents))
    return Part(shape, centre, half_extents, np.eye(3, dtype=np.float32), material)


def _material(rng, colours, pattern='plain', cell=1.0):
    colour = jittered(colours[rng.integers(len(colours))], rng, 0.02)
    return Material(colour, np.float32(0.78) * colour, pattern, cell, rng.uniform(0.2, 0.8, 3).astype(np.float32))


def _tree(rng):
    """Return a trunk with a crown of cones on top of each other, or of balls."""
    bark, leaves = _material(rng, (BARK,)), _material(rng, LEAVES, 'grains', 0.12)
    trunk, girth, width = rng.uniform(0.9, 1.8), rng.uniform(0.12, 0.2), rng.uniform(0.9, 1.5)
    crown = (_conifer_crown if rng.random() < 0.5 else _round_crown)(rng, trunk, width, leaves)
    half = trunk / 2 + 0.2 * width
    return [_part('cylinder', (0, half, 0), (girth, half, girth), bark), *crown], 1.3 * width


def _conifer_crown(rng, trunk, width, leaves):
    tier = rng.uniform(0.55, 0.8) * width
    return [
        _part('cone', (0, trunk + (1 + 1.1 * level) * tier, 0), (size * width, tier, size * width), leaves)
        for level, size in enumerate((1.0, 0.78, 0.55))
    ]


def _round_crown(rng, trunk, width, leaves):
    top = trunk + 0.8 * width
    parts = [_part('sphere', (0, top, 0), (width, 0.9 * width, width), leaves)]
    for side in (-1, 1):
        centre = (side * rng.uniform(0.3, 0.5) * width, top + rng.uniform(-0.2, 0.4) * width, 0)
        parts.append(_part('sphere', centre, np.full(3, rng.uniform(0.6, 0.8) * width), leaves))
    return parts


def _bush(rng):
    """Return a cluster of domes."""
    leaves, size = _material(rng, LEAVES[:3], 'grains', 0.08), rng.uniform(0.4, 0.75)
    parts = [_part('dome', (0, 0.5 * size, 0), (size, 0.5 * size, size), leaves)]
    for side in (-1, 1):
        small = rng.uniform(0.5, 0.7) * size
        parts.append(_part('dome', (side * 0.7 * size, 0.45 * small, 0.2 * size), (small, 0.45 * small, small), leaves))
    return parts, 1.45 * size


def _house(rng):
    """Return a box with a roof."""
    walls, roof = _material(rng, PLASTER, 'bricks', 0.5), _material(rng, ROOFS, 'stripes', 0.4)
    x, y, z = rng.uniform(1.5, 2.4), rng.uniform(1.1, 1.6), rng.uniform(1.3, 1.9)
    rise = rng.uniform(0.6, 1.0)
    parts = [
        _part('box', (0, y, 0), (x, y, z), walls),
        _part('pyramid', (0, 2 * y + rise, 0), (1.15 * x, rise, 1.15 * z), roof),
    ]
    return parts, 1.15 * float(np.hypot(x, z))


def _rock(rng):
    """Return a diamond that is sunk into the ground, and a dome beside it."""
    stone, size = _material(rng, STONE, 'speckle', 0.12), rng.uniform(0.35, 0.7)
    parts = [
        _part('diamond', (0, 0.35 * size, 0), (size, 0.6 * size, 0.8 * size), stone),
        _part('dome', (0.4 * size, 0.25 * size, 0.2 * size), (0.6 * size, 0.25 * size, 0.6 * size), stone),
    ]
    return parts, 1.1 * size


def _post(rng):
    """Return a thin post of wood or stone."""
    material, half, girth = _material(rng, (BARK, *STONE)), rng.uniform(0.5, 0.9), rng.uniform(0.08, 0.12)
    return [_part('cylinder', (0, half, 0), (girth, half, girth), material)], girth


class Kind(NamedTuple):
    """A kind of scenery.

    Args:
        make (Callable): Returns the parts of a random thing at the origin, and the radius of its footprint.
        nearest (float): The smallest distance from the viewer, in metres.
        farthest (float): The largest distance, at which the thing is still clearly visible.
        most (int): The largest number of such things.
    """

    make: object
    nearest: float
    farthest: float
    most: int


SCENERY = {
    'tree': Kind(_tree, 7.0, 28.0, 4),
    'bush': Kind(_bush, 5.0, 16.0, 3),
    'house': Kind(_house, 13.0, 28.0, 2),
    'rock': Kind(_rock, 4.5, 13.0, 3),
    'post': Kind(_post, 4.5, 10.0, 4),
}
