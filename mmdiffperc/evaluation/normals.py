"""Measures of surface normals: the angles between predicted and true directions."""

import numpy as np

THRESHOLDS = (11.25, 22.5, 30)  # degrees
MEASURES = ('mean', 'median', *map(str, THRESHOLDS))


def normal_measures(pred: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Compute the measures of one image.

    Args:
        pred (np.ndarray): Predicted directions ``(3, N)`` of any length.
        truth (np.ndarray): True directions ``(3, N)`` of any length above 0.

    Returns:
        dict[str, float]: ``mean`` and ``median`` of the angles in degrees, and for each of ``THRESHOLDS`` the share of
        pixels whose angle is below it.
    """
    angles = angles_between(pred, truth)
    shares = {str(threshold): np.mean(angles < threshold) for threshold in THRESHOLDS}
    return dict(mean=np.mean(angles), median=np.median(angles), **shares)


def angles_between(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the angles ``(N,)`` in degrees between vectors ``(3, N)``; 90 if a vector has no length."""
    lengths = np.linalg.norm(a, axis=0) * np.linalg.norm(b, axis=0)
    cosines = np.sum(a * b, axis=0) / np.where(lengths > 0, lengths, 1)
    return np.degrees(np.arccos(cosines.clip(-1, 1)))
