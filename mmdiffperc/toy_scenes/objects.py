"""Draw random objects: their size, proportions and paint."""

import numpy as np

from .figure import make_figure
from .scene import Part, SceneObject
from .textures import Material
from .vocabulary import OBJECT_COLOURS, jittered

NEAREST = 2.3
# Ranges of the height, and the shapes whose depth is their width, so that their footprint stays within half of it.
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
ROUND = ('sphere', 'cylinder', 'cone', 'dome', 'diamond')


def random_object(rng, shape, camera, back, domain):
    """Draw an object of a class.

    Args:
        rng (np.random.Generator): Source of randomness.
        shape (str): One of ``OBJECT_CLASSES``, or 'figure'.
        camera (Camera): From where it shall be of a good size to be seen.
        back (float): z of the back wall.
        domain (Domain): Its looks.

    Returns:
        tuple[SceneObject, float, float]: The object, standing at the origin; the radius of a circle around all of it,
        seen from above; and the z where it shall be placed.
    """
    return _figure(rng, back, domain) if shape == 'figure' else _solid(rng, shape, camera, back, domain)


def _solid(rng, shape, camera, back, domain):
    """Return a solid, with what `random_object` returns of it."""
    z = rng.uniform(back + 0.4, -NEAREST)
    # Sized by how wide it looks, so that far objects can still be made out.
    width = np.clip(rng.uniform(0.15, 0.34) * -z / camera.focal, 0.35, 1.5)
    half_extents = width / 2 * _proportions(rng, shape)
    radius = half_extents[0] if shape in ROUND else np.hypot(half_extents[0], half_extents[2])
    name, material = _paint(rng, domain)
    part = Part(
        shape,
        np.array([0, half_extents[1], 0], np.float32),
        half_extents.astype(np.float32),
        np.eye(3, dtype=np.float32),
        material,
    )
    return SceneObject(shape, name, (part,)), radius, z


def _proportions(rng, shape):
    """Half extents relative to half the width."""
    depth = 1.0 if shape in ROUND else rng.uniform(0.65, 1.0)
    return np.array([1.0, rng.uniform(*HEIGHTS[shape]), depth])


def _paint(rng, domain):
    """Return a named colour and a material of about that colour."""
    name = str(rng.choice(list(OBJECT_COLOURS)))
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
    """Return a figure, with what `random_object` returns of it."""
    name, material = _paint(rng, domain)
    figure = make_figure(rng, name, material.colour, rng.uniform(1.2, 1.75))
    reach = max(np.hypot(part.centre[0], part.centre[2]) + part.half_extents[0] for part in figure.parts)
    return figure, reach, rng.uniform(max(back + 0.7, -5.5), -3.0)
