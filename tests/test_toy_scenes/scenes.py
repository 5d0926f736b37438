"""Hand-made scenes with known geometry, shared by the tests of this folder."""

import numpy as np

from mmdiffperc.toy_scenes.scene import Camera, Light, Part, Plane, Scene, SceneObject, yaw
from mmdiffperc.toy_scenes.textures import Material


def grey(level=0.5, **kwargs):
    """A plain material."""
    colour = np.full(3, level, np.float32)
    return Material(colour, colour, **kwargs)


def single(shape, centre, half_extents, angle=0.4, material=None):
    """An object of one solid, turned by an angle about the vertical."""
    part = Part(shape, np.array(centre, np.float32), np.array(half_extents, np.float32), yaw(angle), material or grey())
    return SceneObject(shape, 'white', (part,))


def room(*objects, light=(1.0, 4.0, 0.0)):
    """Objects on a floor before a wall at z = -6."""
    planes = (
        Plane('floor', np.array([0, 1, 0], np.float32), 0.0, grey(0.6)),
        Plane('wall', np.array([0, 0, 1], np.float32), -6.0, grey(0.7)),
    )
    lights = Light(np.array(light, np.float32), np.full(3, 0.6, np.float32), np.full(3, 0.4, np.float32))
    return Scene(Camera(1.6, 0.28, 1.1), lights, planes, objects, 'kitchen', 'white', 'grey', 'a')
