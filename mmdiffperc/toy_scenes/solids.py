"""Canonical convex solids: intersections of half-spaces and one quadric, with analytic ray casting.

A ray intersects a convex set in one interval ``[t_in, t_out]``, and the interval of an intersection of sets is the
intersection of their intervals, so a handful of coefficients describes every shape.
"""

from dataclasses import dataclass
from functools import cached_property, reduce
from itertools import product

import numpy as np

# A direction component this small counts as parallel; float32 keeps the quotient finite.
PARALLEL = 1e-9


@dataclass(frozen=True)
class Quadric:
    """The set ``w . (x^2, (y - y0)^2, z^2) <= level``. A negative weight of y gives a cone with its apex at ``y0``."""

    weights: tuple
    y0: float
    level: float

    def value(self, points):
        """Return the left-hand side minus level, which is negative inside: ``points`` (N, 3) -> (N,)."""
        return (self._centred(points) ** 2) @ self._weights - self.level

    def gradient(self, points):
        """Return half the gradient of :meth:`.Quadric.value`, which points outwards: ``points`` (N, 3) -> (N, 3)."""
        return self._centred(points) * self._weights

    def interval(self, origins, directions):
        """Return the ray parameters between which rays are inside, see :meth:`.ConvexSolid.intersect`."""
        origins = self._centred(origins)
        a = directions**2 @ self._weights
        b = (origins * directions) @ self._weights
        c = origins**2 @ self._weights - self.level
        discriminant = b * b - a * c
        a = np.where(np.abs(a) < PARALLEL, np.float32(PARALLEL), a)
        root = np.sqrt(np.maximum(discriminant, 0))
        one, other = (-b - root) / a, (-b + root) / a
        near, far = np.minimum(one, other), np.maximum(one, other)
        # A ray steeper than the cone is inside the double cone before the first root and after the second. The nappe
        # below the apex is the second of these intervals for a downward ray, and the first for an upward ray.
        steep, downwards = a < 0, directions[..., 1] < 0
        t_in = np.where(steep, np.where(downwards, far, -np.inf), near)
        t_out = np.where(steep, np.where(downwards, np.inf, near), far)
        missed = (discriminant < 0) & ~steep
        return np.where(missed, np.inf, t_in), np.where(missed, -np.inf, t_out)

    def _centred(self, points):
        return points - self._centre

    @cached_property
    def _centre(self):
        return np.array([0, self.y0, 0], np.float32)

    @cached_property
    def _weights(self):
        return np.array(self.weights, np.float32)


@dataclass(frozen=True)
class ConvexSolid:
    """A convex solid in the cube [-1, 1]^3, standing on y = -1.

    Args:
        half_spaces (tuple): Rows ``(nx, ny, nz, offset)`` of ``n . x <= offset``.
        quadric (Quadric, optional): The curved part of the surface.
    """

    half_spaces: tuple = ()
    quadric: Quadric | None = None

    def intersect(self, origins, directions):
        """Intersect rays with the solid.

        Args:
            origins (np.ndarray): Origins (N, 3) or (3,), in the frame of the solid.
            directions (np.ndarray): Directions (N, 3) of any length.

        Returns:
            tuple[np.ndarray, np.ndarray]: ``t_in`` and ``t_out`` (N,); ``t_in > t_out`` where a ray misses.
        """
        t_in = np.full(len(directions), -np.inf, np.float32)
        t_out = np.full(len(directions), np.inf, np.float32)
        if self.half_spaces:
            t_in, t_out = self._polyhedron_interval(origins, directions)
        if self.quadric is not None:
            quadric_in, quadric_out = self.quadric.interval(origins, directions)
            t_in, t_out = np.maximum(t_in, quadric_in), np.minimum(t_out, quadric_out)
        return t_in, t_out

    def normals(self, points):
        """Return outward normals of any length at surface points (N, 3): the gradient of the active constraint."""
        normals = np.zeros_like(points)
        slack = np.full(len(points), -np.inf, np.float32)
        if self.half_spaces:
            planes = self._planes
            distances = (points @ planes[:, :3].T - planes[:, 3]) / np.linalg.norm(planes[:, :3], axis=1)
            active = distances.argmax(axis=1)
            normals, slack = planes[active, :3], reduce(np.maximum, distances.T)
        if self.quadric is not None:
            gradient = self.quadric.gradient(points)
            distance = self.quadric.value(points) / np.maximum(2 * np.linalg.norm(gradient, axis=1), PARALLEL)
            normals = np.where((distance > slack)[:, None], gradient, normals)
        return normals

    @cached_property
    def _planes(self):
        return np.array(self.half_spaces, np.float32)

    def _polyhedron_interval(self, origins, directions):
        planes = self._planes
        speed = directions @ planes[:, :3].T  # (N, planes)
        speed = np.where(np.abs(speed) < PARALLEL, np.float32(PARALLEL), speed)
        crossing = (planes[:, 3] - origins @ planes[:, :3].T) / speed
        # Much faster than max(axis=1) of a few columns.
        t_in = reduce(np.maximum, np.where(speed < 0, crossing, -np.inf).T)
        t_out = reduce(np.minimum, np.where(speed > 0, crossing, np.inf).T)
        return t_in, t_out


_BASE, _TOP = (0, -1, 0, 1), (0, 1, 0, 1)
_LEFT, _RIGHT, _FRONT, _BACK = (-1, 0, 0, 1), (1, 0, 0, 1), (0, 0, 1, 1), (0, 0, -1, 1)
_CORNERS = tuple((*signs, 1) for signs in product((-1, 1), repeat=3))

SOLIDS = {
    'sphere': ConvexSolid(quadric=Quadric((1, 1, 1), 0, 1)),
    'box': ConvexSolid((_BASE, _TOP, _LEFT, _RIGHT, _FRONT, _BACK)),
    'cylinder': ConvexSolid((_BASE, _TOP), Quadric((1, 0, 1), 0, 1)),
    # The plane y <= 1 through the apex keeps one of the two nappes.
    'cone': ConvexSolid((_BASE, _TOP), Quadric((1, -0.25, 1), 1, 0)),
    'pyramid': ConvexSolid((_BASE, (1, 0.5, 0, 0.5), (-1, 0.5, 0, 0.5), (0, 0.5, 1, 0.5), (0, 0.5, -1, 0.5))),
    'wedge': ConvexSolid((_BASE, _LEFT, _FRONT, _BACK, (1, 1, 0, 0))),
    'dome': ConvexSolid((_BASE,), Quadric((1, 0.25, 1), -1, 1)),
    'diamond': ConvexSolid(_CORNERS),
}
