"""The pinhole camera: rays through pixels, and points back onto them."""

from dataclasses import dataclass

import numpy as np


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
