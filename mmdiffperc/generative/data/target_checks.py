"""What looks wrong about a target although every number could be right: its unit, its length, its axes."""

import numpy as np

from mmdiffperc.generative.normal_axes import INSIDE, corrected_axes

from .normals_from_depth import Intrinsics, fitting_axes

LOWEST_MEDIAN, HIGHEST_MEDIAN = 0.01, 1000  # metres
LENGTH_TOLERANCE = 0.05


def doubts_of_depth(depth: np.ndarray) -> list[str]:
    """Return what looks wrong about values ``(N,)`` as depth in metres."""
    median = np.median(depth)
    if LOWEST_MEDIAN <= median <= HIGHEST_MEDIAN:
        return []
    return [
        f'the median of the target is {median:.4g}, but that of depth in metres should be between {LOWEST_MEDIAN} and '
        f'{HIGHEST_MEDIAN}. Set rescale_factor, such as 0.001 for millimetres, unless the target is no depth'
    ]


def doubts_of_normals(normals: np.ndarray, depth: np.ndarray | None, axes: str) -> list[str]:
    """Return what looks wrong about the lengths and axes of normals.

    Args:
        normals (np.ndarray): Normals ``(H, W, 3)`` in the axes of this package, if ``axes`` is right, with their stored
            length; zeros where they are unknown.
        depth (np.ndarray, optional): Depth ``(H, W)`` of the same image; zeros where it is unknown.
        axes (str): The axes in which they were stored.
    """
    doubts, lengths = [], np.linalg.norm(normals, axis=2)
    length = np.median(lengths[lengths > 0])
    if abs(length - 1) > LENGTH_TOLERANCE:
        doubts.append(
            f'the normals have a median length of {length:.3g}, but should be unit vectors. Store n as (n + 1) / 2 in '
            'images, and as n in arrays of floating-point numbers'
        )
    away = np.mean(normals[lengths > 0][:, 2] < 0)
    if depth is not None:
        # The focal length gives a field of view of 53 degrees. It affects how well the axes fit, but not which do.
        found = fitting_axes(normals, depth, Intrinsics.centred(max(depth.shape), *depth.shape))
        reason = 'they contradict the depth of the image'
    else:
        found = INSIDE[:2] + 'F' if away > 0.5 else INSIDE
        reason = f'{away:.0%} of them point away from the camera, which sees only surfaces that face it'
    if found != INSIDE:
        better = corrected_axes(axes, found)
        doubts.append(f'the axes of the normals seem not to be {axes!r}: {reason}. The axes {better!r} would fit')
    return doubts
