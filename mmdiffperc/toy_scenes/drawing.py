"""Line drawings of scenes: contours, hatching and a pale wash of colour on paper."""

from dataclasses import dataclass
from itertools import product

import numpy as np

# A contour separates pixels of one thing whose normals differ by more than 40 degrees, or whose depths have a greater
# ratio than this.
CREASE, DEPTH_RATIO = np.cos(np.deg2rad(40)), 1.08
# The distance between hatching lines, in units of the image's shorter side, and the part of it that is ink.
HATCH_PERIOD, HATCH_INK = 0.04, 0.3
# The colours of the room are this much weaker than the colours of objects.
ROOM_WASH = 0.45


@dataclass(frozen=True)
class Pen:
    """Pen, paper and paint of a drawing.

    Args:
        width (float): Width of the contours, in units of the image's shorter side.
        ink (np.ndarray): Colour (3,) of the ink.
        paper (np.ndarray): Colour (3,) of the paper.
        wash (float): Opacity of the paint on objects, 0 to 1.
        hatching (float): Opacity of the hatching where the lamp does not reach, 0 to 1.
        slope (float): Slope of the hatching.
        grain (float): Standard deviation of the paper's grain.
        seed (int): Seed of the grain.
    """

    width: float
    ink: np.ndarray
    paper: np.ndarray
    wash: float
    hatching: float
    slope: float
    grain: float
    seed: int

    def draw(self, things, normals, depth, albedo, shadow):
        """Draw a scene from its ground truth.

        Args:
            things (np.ndarray): What each pixel shows (H, W): the number of an object, or a negative number for a
                plane of the room.
            normals (np.ndarray): Unit normals (H, W, 3).
            depth (np.ndarray): Depth (H, W).
            albedo (np.ndarray): Albedo (H, W, 3).
            shadow (np.ndarray): Pixels that the lamp does not reach (H, W), bool.

        Returns:
            np.ndarray: The drawing (H, W, 3), in [0, 1].
        """
        wash = np.where(things < 0, ROOM_WASH * self.wash, self.wash)[..., None]
        colour = self.paper * (1 - wash + wash * albedo)
        ink = np.maximum(self._contours(things, normals, depth), self.hatching * shadow * self._hatching(depth.shape))
        drawing = colour + ink[..., None] * (self.ink - colour)
        grain = np.random.default_rng(self.seed).normal(0, self.grain, (*depth.shape, 1))
        return (drawing + grain).clip(0, 1).astype(np.float32)

    def _contours(self, things, normals, depth):
        """Return the coverage (H, W) of the pixels by contours."""
        (height, width), reach = depth.shape, 0.5 + self.width * min(depth.shape) / 2
        radius = int(reach)
        padded = np.pad(breaks(things, normals, depth), radius)
        coverage = np.zeros(depth.shape)
        for down, right in product(range(-radius, radius + 1), repeat=2):
            if (ink := min(reach - np.hypot(down, right), 1)) > 0:
                shifted = padded[radius + down : radius + down + height, radius + right : radius + right + width]
                np.maximum(coverage, ink * shifted, out=coverage)
        return coverage

    def _hatching(self, shape):
        """Return the coverage (H, W) of the pixels by parallel lines."""
        rows, columns = np.indices(shape)
        period = HATCH_PERIOD * min(shape)
        across = (columns + self.slope * rows) / (period * np.hypot(1, self.slope))
        from_line = np.abs(across % 1 - 0.5)  # in periods
        return (0.5 + (HATCH_INK / 2 - from_line) * period).clip(0, 1)


def breaks(things, normals, depth):
    """Return the pixels (H, W) that differ from the next one to the right or below in thing, normal or depth."""
    found = np.zeros(things.shape, bool)
    for one, other in ((np.s_[:, :-1], np.s_[:, 1:]), (np.s_[:-1], np.s_[1:])):
        cosine = np.einsum('hwc,hwc->hw', normals[one], normals[other])
        ratio = np.maximum(depth[one], depth[other]) / np.minimum(depth[one], depth[other])
        found[one] |= (things[one] != things[other]) | (cosine < CREASE) | (ratio > DEPTH_RATIO)
    return found


def draw_pen(rng):
    """Draw a random pen, with its paper and paint."""
    paper = np.array([0.97, 0.96, 0.93]) * rng.uniform(0.93, 1.02) + rng.normal(0, 0.012, 3)
    ink = np.array([0.10, 0.10, 0.13]) * rng.uniform(0.4, 2.2)
    return Pen(
        width=rng.uniform(0.008, 0.016),
        ink=ink.astype(np.float32),
        paper=paper.clip(0, 1).astype(np.float32),
        wash=rng.uniform(0.55, 0.75),
        hatching=rng.uniform(0.35, 0.6),
        slope=rng.choice([-1, 1]) * rng.uniform(0.6, 1.7),
        grain=rng.uniform(0.005, 0.02),
        seed=int(rng.integers(2**32)),
    )
