"""What a toy scene consists of. The world is right-handed: x right, y up, z towards the viewer; lengths in metres."""

from dataclasses import dataclass, replace

import numpy as np

from .solids import SOLIDS
from .textures import Material


def yaw(angle):
    """Rotation (3, 3) about the vertical that turns z towards x, by an angle in radians."""
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
        """float: Radius of a sphere around ``centre`` that holds the part."""
        round_or_pointed = self.shape in ('sphere', 'diamond')
        return float(self.half_extents.max() if round_or_pointed else np.linalg.norm(self.half_extents))

    def intersect(self, origins, directions):
        """Interval of the rays inside the part, in parameters of the world rays; see :class:`.ConvexSolid`."""
        to_local = self.rotation / self.half_extents
        return SOLIDS[self.shape].intersect((origins - self.centre) @ to_local, directions @ to_local)

    def normals(self, points):
        """Unit outward normals (N, 3) at world points (N, 3) of the surface."""
        to_local = self.rotation / self.half_extents
        # A normal is a covector: it goes back to the world by the inverse transpose of the point's transform.
        normals = SOLIDS[self.shape].normals((points - self.centre) @ to_local) @ to_local.T
        return normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-9)

    def albedo(self, points):
        """Albedo (N, 3) at world points (N, 3)."""
        return self.material.albedo((points - self.centre) @ self.rotation)


@dataclass(frozen=True)
class Plane:
    """An infinite plane of the room: floor or wall, ``normal . x = offset``, seen from the normal's side."""

    class_name: str
    normal: np.ndarray
    offset: float
    material: Material

    def intersect(self, origin, directions):
        """Ray parameter (N,) where rays from one origin meet the plane, infinite where they never do."""
        with np.errstate(divide='ignore', invalid='ignore'):
            t = (self.offset - origin @ self.normal) / (directions @ self.normal)
        return np.where(t > 0, t, np.inf)

    def albedo(self, points):
        """Albedo (N, 3); the pattern lies in the plane, the floor's x and z taken as its x and y."""
        order = [0, 2, 1] if self.normal[1] else ([2, 1, 0] if self.normal[0] else [0, 1, 2])
        flat = points[:, order]
        flat[:, 2] = 0  # or rounding would flip cells along the plane's own normal
        return self.material.albedo(flat)


@dataclass(frozen=True)
class SceneObject:
    """One instance of an object class: a single solid, or the parts of a figure.

    Args:
        class_name (str): One of ``OBJECT_CLASSES`` or 'figure'.
        colour (str): Its colour's name.
        parts (tuple[Part]): What it is made of.
        keypoints (np.ndarray, optional): World positions (17, 3) in COCO's order, of a figure.
    """

    class_name: str
    colour: str
    parts: tuple
    keypoints: np.ndarray | None = None

    @property
    def position(self):
        """np.ndarray: Mean of the centres of its parts (3,), in the world."""
        return np.mean([part.centre for part in self.parts], axis=0)

    def placed(self, angle, position):
        """Return the object, turned about the world's vertical axis by an angle and then moved by ``position`` (3,)."""
        turn, position = yaw(angle), np.asarray(position, np.float32)
        parts = tuple(
            replace(part, centre=turn @ part.centre + position, rotation=turn @ part.rotation) for part in self.parts
        )
        keypoints = None if self.keypoints is None else self.keypoints @ turn.T + position
        return replace(self, parts=parts, keypoints=keypoints)


@dataclass(frozen=True)
class Camera:
    """A pinhole camera above the world's origin that looks along -z, pitched downwards.

    Camera coordinates: x right, y up, z towards the viewer; the depth of a point is its ``-z``.

    Args:
        height (float): Above the floor.
        pitch (float): Downwards, in radians.
        focal (float): Focal length in units of the image's shorter side.
    """

    height: float
    pitch: float
    focal: float

    @property
    def position(self):
        """np.ndarray: (3,), in the world."""
        return np.array([0, self.height, 0], np.float32)

    @property
    def rotation(self):
        """np.ndarray: (3, 3); its columns are the camera's axes in the world."""
        cos, sin = np.cos(self.pitch), np.sin(self.pitch)
        return np.array([[1, 0, 0], [0, cos, sin], [0, -sin, cos]], np.float32)

    def rays(self, height, width):
        """World directions (H, W, 3) through the pixel centres, scaled so that the ray parameter is the depth."""
        focal = self.focal * min(height, width)
        x = (np.arange(width, dtype=np.float32) + 0.5 - width / 2) / focal
        y = (height / 2 - np.arange(height, dtype=np.float32) - 0.5) / focal
        directions = np.stack([*np.meshgrid(x, y), np.full((height, width), -1.0)], axis=-1).astype(np.float32)
        return directions @ self.rotation.T

    def to_camera(self, points):
        """World points (N, 3) in camera coordinates (N, 3)."""
        return (points - self.position) @ self.rotation

    def project(self, points, height, width):
        """Image positions and depths of world points.

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
    """A point light and a sky.

    Args:
        position (np.ndarray): (3,), in the world.
        colour (np.ndarray): Its irradiance (3,) on a surface that faces it, at any distance.
        ambient (np.ndarray): Irradiance (3,) on a surface that faces up; half of it on one that faces down.
    """

    position: np.ndarray
    colour: np.ndarray
    ambient: np.ndarray


@dataclass(frozen=True)
class Scene:
    """Everything that is rendered, and the names of its looks.

    Args:
        camera (Camera): The viewer.
        light (Light): The lights.
        planes (tuple[Plane]): Floor and walls.
        objects (tuple[SceneObject]): What stands on the floor.
        category (str): Key of ``SCENE_CATEGORIES``.
        wall_colour (str): Key of ``ROOM_COLOURS``.
        floor_colour (str): Key of ``ROOM_COLOURS``.
        domain (str): Key of ``DOMAINS``.
    """

    camera: Camera
    light: Light
    planes: tuple
    objects: tuple
    category: str
    wall_colour: str
    floor_colour: str
    domain: str
