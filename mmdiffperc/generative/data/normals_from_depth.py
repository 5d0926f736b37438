"""Geometry of a pinhole camera: planar depth, surface normals from depth, and the axes of normals.

Normals are unit vectors in camera coordinates: x right, y up, z towards the viewer. A vector of zeros marks a pixel
whose normal is unknown.
"""

from typing import NamedTuple

import numpy as np

UNKNOWN = 1e9  # centimetres; farther than any surface bends
CENTIMETRES = 100
DISAGREEMENT = -0.5  # of two normal maps, from 1 (equal) to -1 (opposite)


class Intrinsics(NamedTuple):
    """The intrinsics of a pinhole camera, in pixels. The centre of the pixel at the top left is (0, 0), as in KITTI.

    Args:
        fx (float): Horizontal focal length.
        fy (float): Vertical focal length.
        cx (float): Column of the principal point.
        cy (float): Row of the principal point.
    """

    fx: float
    fy: float
    cx: float
    cy: float

    @classmethod
    def centred(cls, focal: float, height: int, width: int) -> 'Intrinsics':
        """Return the intrinsics of a camera whose principal point is the centre of the image."""
        return cls(focal, focal, (width - 1) / 2, (height - 1) / 2)

    def rays(self, height: int, width: int) -> np.ndarray:
        """Return the viewing rays ``(H, W, 3)`` of the pixels, scaled such that a point is its ray times its depth."""
        x, y = np.meshgrid((np.arange(width) - self.cx) / self.fx, (self.cy - np.arange(height)) / self.fy)
        return np.stack([x, y, np.full_like(x, -1)], axis=-1)


def planar_depth(distance: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
    """Convert the distance ``(H, W)`` from the centre of the camera to the depth along its optical axis."""
    return distance / np.linalg.norm(intrinsics.rays(*distance.shape), axis=-1)


def face_camera(normals: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
    """Turn the normals ``(H, W, 3)`` that point away from the camera, which sees only surfaces that face it."""
    away = (normals * intrinsics.rays(*normals.shape[:2])).sum(-1, keepdims=True) > 0
    return np.where(away, -normals, normals)


def normals_from_depth(depth: np.ndarray, intrinsics: Intrinsics) -> np.ndarray:
    """Derive surface normals from depth, as D2NT does (Feng et al., ICRA 2023).

    E2E-FT derives the normals of Virtual KITTI 2 in this way. With the depth ``Z``, its derivatives ``Z_u`` and ``Z_v``
    along the columns and rows, and ``u`` and ``v`` relative to the principal point, a normal has the direction

        (fx Z_u, -fy Z_v, Z + u Z_u + v Z_v)

    A derivative mixes the differences to the pixels before and after. Their weights are the softmax of how little the
    depth bends at these pixels, in centimetres; if the two differ by more than 1 cm, only the flatter side counts, so
    that no difference crosses an edge. Finally, each pixel takes the normal of the flattest pixel among itself and its
    four neighbours.

    Args:
        depth (np.ndarray): Depth along the optical axis ``(H, W)``, in metres. Values that are not positive or not
            finite are unknown.
        intrinsics (Intrinsics): The camera.

    Returns:
        np.ndarray: Unit normals ``(H, W, 3)``; zeros where they are unknown, because the depth of the pixel or of its
        neighbours is.
    """
    depth = np.where(np.isfinite(depth) & (depth > 0), depth * float(CENTIMETRES), np.nan)
    left, right, up, down = _neighbours(depth, np.nan)
    along_u, along_v = _derivative(depth - left, right - depth, 1), _derivative(depth - up, down - depth, 0)
    v, u = np.indices(depth.shape)
    z = depth + (u - intrinsics.cx) * along_u + (v - intrinsics.cy) * along_v
    normals = np.stack([intrinsics.fx * along_u, -intrinsics.fy * along_v, z], axis=-1)
    normals = normals / np.linalg.norm(normals, axis=-1, keepdims=True)
    bending = np.nan_to_num(abs(left + right + up + down - 4 * depth), nan=UNKNOWN)
    normals = np.nan_to_num(_of_flattest_neighbour(normals, bending))
    return np.where(np.isnan(depth)[..., None], 0, normals)


def fitting_axes(normals: np.ndarray, depth: np.ndarray, intrinsics: Intrinsics) -> str:
    """Find the axes in which a normal map agrees with a depth map.

    Args:
        normals (np.ndarray): Unit normals ``(H, W, 3)`` whose first axis is horizontal, the second vertical, and the
            third along the line of sight. Zeros mark unknown ones.
        depth (np.ndarray): Depth ``(H, W)`` in metres, see :func:`normals_from_depth`.
        intrinsics (Intrinsics): The camera. An estimate of the focal length is enough.

    Returns:
        str: The directions of the three axes: ``R`` or ``L`` (right, left), ``U`` or ``D`` (up, down), ``B`` or ``F``
        (back to the viewer, front). ``'RUB'`` means that the normals are in the coordinates of this package. An axis
        is assumed to be so unless the maps clearly contradict each other.
    """
    expected = normals_from_depth(depth, intrinsics)
    expected[~normals.any(-1)] = 0
    agreement = (normals * expected).sum((0, 1)) / np.maximum((expected**2).sum((0, 1)), 1e-9)
    return ''.join(pair[int(value < DISAGREEMENT)] for pair, value in zip(('RL', 'UD', 'BF'), agreement, strict=True))


def _neighbours(array, fill):
    """Return the array shifted so that each pixel holds its left, right, upper and lower neighbour."""
    padded = np.pad(array, [(1, 1), (1, 1)] + [(0, 0)] * (array.ndim - 2), constant_values=fill)
    return padded[1:-1, :-2], padded[1:-1, 2:], padded[:-2, 1:-1], padded[2:, 1:-1]


def _derivative(before, after, axis):
    """Mix the differences to the pixels before and after along an axis."""
    bending = np.nan_to_num(abs(after - before), nan=UNKNOWN)
    bending_before, bending_after = np.split(np.stack(_neighbours(bending, UNKNOWN)), 2)[1 - axis]
    advantage = bending_after - bending_before
    weight = np.where(abs(advantage) > 1, advantage > 0, 1 / (1 + np.exp(-advantage.clip(-1, 1))))
    weight = np.where(np.isnan(before), 0, np.where(np.isnan(after), 1, weight))
    known = np.nan_to_num(before) * weight + np.nan_to_num(after) * (1 - weight)
    return np.where(np.isnan(before) & np.isnan(after), np.nan, known)


def _of_flattest_neighbour(normals, bending):
    candidates = np.stack([normals, *_neighbours(normals, np.nan)])
    flattest = np.stack([bending, *_neighbours(bending, UNKNOWN)]).argmin(0)
    return np.take_along_axis(candidates, flattest[None, ..., None], axis=0)[0]
