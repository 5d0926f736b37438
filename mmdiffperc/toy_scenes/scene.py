"""The parts of a toy scene. The world is right-handed: x right, y up, z towards the viewer; lengths are in metres."""

from dataclasses import dataclass, replace

import numpy as np

from .drawing import Pen
from .sky import Sky
from .solids import SOLIDS
from .textures import Material


def yaw(angle):
    """Return the rotation (3, 3) about the vertical axis that turns z towards x by an angle in radians."""
    cos, sin = np.cos(angle), np.sin(angle)
    return np.array([[cos, 0, sin], [0, 1, 0], [-sin, 0, cos]], np.float32)


@dataclass(frozen=True)
class Part:
    """One canonical solid, placed: ``world = rotation @ (half_extents * local) + centre``.

    Args:
        shape (str): Key of ``SOLIDS``.
        centre (np.ndarray): (3,).
        half_extents (np.ndarray): (3,).
        rotation (np.ndarray): (3, 3).
        material (Material): Its surface.
    """

    shape: str
    centre: np.ndarray
    half_extents: np.ndarray
    rotation: np.ndarray
    material: Material

    @property
    def radius(self):
        """float: Radius of a sphere around ``centre`` that contains the part."""
        round_or_pointed = self.shape in ('sphere', 'diamond')
        return float(self.half_extents.max() if round_or_pointed else np.linalg.norm(self.half_extents))

    def intersect(self, origins, directions):
        """Return the intervals of rays inside the part, in parameters of the world rays; see :class:`.ConvexSolid`."""
        to_local = self.rotation / self.half_extents
        return SOLIDS[self.shape].intersect((origins - self.centre) @ to_local, directions @ to_local)

    def normals(self, points):
        """Return the unit outward normals (N, 3) at world points (N, 3) of the surface."""
        to_local = self.rotation / self.half_extents
        # A normal is a covector: the inverse transpose of the transform of points takes it to the world.
        normals = SOLIDS[self.shape].normals((points - self.centre) @ to_local) @ to_local.T
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)

    def albedo(self, points):
        """Return the albedo (N, 3) at world points (N, 3)."""
        return self.material.albedo((points - self.centre) @ self.rotation)


@dataclass(frozen=True)
class Plane:
    """An infinite plane of the room, floor or wall: ``normal . x = offset``, visible from the side of the normal."""

    class_name: str
    normal: np.ndarray
    offset: float
    material: Material

    def intersect(self, origin, directions):
        """Return the parameter (N,) at which rays from one origin meet the plane, infinite for those that do not."""
        with np.errstate(divide='ignore', invalid='ignore'):
            t = (self.offset - origin @ self.normal) / (directions @ self.normal)
        return np.where(t > 0, t, np.inf)

    def albedo(self, points):
        """Return the albedo (N, 3). The pattern is two-dimensional: x and z of the floor become its x and y."""
        order = [0, 2, 1] if self.normal[1] else ([2, 1, 0] if self.normal[0] else [0, 1, 2])
        flat = points[:, order]
        flat[:, 2] = 0  # otherwise rounding would flip cells along the normal
        return self.material.albedo(flat)


@dataclass(frozen=True)
class SceneObject:
    """One object or thing of the scenery: a single solid, or the parts of a figure, a tree and so on.

    Args:
        class_name (str): One of ``OBJECT_CLASSES``, 'figure', or a key of ``SCENERY``.
        colour (str, optional): Name of its colour; None for scenery.
        parts (tuple[Part]): Its solids.
        keypoints (np.ndarray, optional): World positions (17, 3) of a figure, in COCO's order.
    """

    class_name: str
    colour: str | None
    parts: tuple
    keypoints: np.ndarray | None = None

    @property
    def position(self):
        """np.ndarray: Mean of the centres of its parts (3,), in the world."""
        return np.mean([part.centre for part in self.parts], axis=0)

    @property
    def radius(self):
        """float: Radius of a sphere around ``position`` that contains all parts."""
        position = self.position
        return 1.001 * max(np.linalg.norm(part.centre - position) + part.radius for part in self.parts)

    def placed(self, angle, position):
        """Return a copy that is turned about the vertical axis by an angle, then moved by ``position`` (3,)."""
        turn, position = yaw(angle), np.asarray(position, np.float32)
        parts = tuple(
            replace(part, centre=turn @ part.centre + position, rotation=turn @ part.rotation) for part in self.parts
        )
        keypoints = None if self.keypoints is None else self.keypoints @ turn.T + position
        return replace(self, parts=parts, keypoints=keypoints)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera above the origin of the world, looking along -z and tilted downwards.

    Camera coordinates: x right, y up, z towards the viewer; the depth of a point is its ``-z``.

    Args:
        height (float): Height above the floor.
        pitch (float): Downward tilt, in radians.
        focal (float): Focal length in units of the image's shorter side.
    """

    height: float
    pitch: float
    focal: float

    @property
    def position(self):
        """np.ndarray: Position (3,) in the world."""
        return np.array([0, self.height, 0], np.float32)

    @property
    def rotation(self):
        """np.ndarray: Rotation (3, 3), whose columns are the axes of the camera in the world."""
        cos, sin = np.cos(self.pitch), np.sin(self.pitch)
        return np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]], np.float32)

    def rays(self, height, width):
        """Return world directions (H, W, 3) through the pixel centres, scaled such that the ray parameter is depth."""
        focal = self.focal * min(height, width)
        x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / focal
        y = (height / 2 - np.arange(height, dtype=np.float32) - 0.5) / focal
        directions = np.stack([*np.meshgrid(x, y), np.full((height, width), -1.0)], axis=-1).astype(np.float32)
        return directions @ self.rotation.T

    def to_camera(self, points):
        """Convert world points (N, 3) to camera coordinates (N, 3)."""
        return (points - self.position) @ self.rotation

    def project(self, points, height, width):
        """Project world points into the image.

        Returns:
            tuple[np.ndarray, np.ndarray]: ``xy`` (N, 2) in pixels, where pixel (i, j) covers [j, j + 1) x [i, i + 1),
            and depths (N,).
        """
        local = self.to_camera(points)
        depth = -local[:, 2]
        scale = self.focal * min(height, width) / depth
        return np.stack([width / 2 + local[:, 0] * scale, height / 2 - local[:, 1] * scale], axis=1), depth


@dataclass(frozen=True)
class Light:
    """A point light and the light of the sky.

    Args:
        position (np.ndarray): (3,), in the world.
        colour (np.ndarray): Irradiance (3,) of a surface that faces the lamp, at any distance.
        ambient (np.ndarray): Irradiance (3,) of a surface that faces up; one that faces down receives half.
    """

    position: np.ndarray
    colour: np.ndarray
    ambient: np.ndarray


@dataclass(frozen=True)
class Noise:
    """The noise of a camera.

    Args:
        strength (float): Its standard deviation; the brightest value is 1.
        seed (int): Its seed.
    """

    strength: float
    seed: int

    def add_to(self, radiance):
        """Return a noisy image (H, W, 3)."""
        noise = np.random.default_rng(self.seed).normal(0, self.strength, radiance.shape)
        return (radiance + noise).astype(np.float32)


@dataclass(frozen=True)
class Scene:
    """Everything that is rendered, and the words that describe it.

    Args:
        camera (Camera): The viewer.
        light (Light): The lights.
        planes (tuple[Plane]): Floor and walls; outdoors, the ground.
        objects (tuple[SceneObject]): The objects on the floor.
        category (str): Key of ``SCENE_CATEGORIES``, or 'outdoors'.
        wall_colour (str, optional): Key of ``ROOM_COLOURS``; None outdoors.
        floor_colour (str, optional): Key of ``ROOM_COLOURS``; None outdoors.
        domain (str): Key of ``DOMAINS``.
        ground (str, optional): Key of ``GROUNDS``. Default: None, which means a room.
        sky (Sky, optional): The sky and the fog of a scene outdoors.
        scenery (tuple[SceneObject]): Trees and other things that belong to no class.
        pen (Pen, optional): Draws the scene. Default: None, which means a photo.
        noise (Noise, optional): Noise of the camera. Default: none.
    """

    camera: Camera
    light: Light
    planes: tuple
    objects: tuple
    category: str
    wall_colour: str | None
    floor_colour: str | None
    domain: str
    ground: str | None = None
    sky: Sky | None = None
    scenery: tuple = ()
    pen: Pen | None = None
    noise: Noise | None = None

    @property
    def things(self):
        """tuple[SceneObject]: The objects, then the scenery."""
        return self.objects + self.scenery

    @property
    def parts(self):
        """list[Part]: The parts of all things, in their order."""
        return [part for thing in self.things for part in thing.parts]
