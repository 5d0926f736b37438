"""Measures of surface normals: the angles between predicted and true directions."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .arrays import Array, library_of, share_of, to_numpy

THRESHOLDS = (5, 7.5, 11.25, 22.5, 30)  # degrees
MEASURES = ('mean', 'median', 'rmse', *map(str, THRESHOLDS))
BIN = 0.02  # degrees


def normal_measures(pred: Array, truth: Array) -> dict[str, float]:
    """Compute the measures of one image.

    Args:
        pred (np.ndarray | torch.Tensor): Predicted directions ``(3, N)`` of any length.
        truth (np.ndarray | torch.Tensor): True directions ``(3, N)`` of any length above 0.

    Returns:
        dict[str, float]: All of ``MEASURES``, see :func:`angle_measures`.
    """
    return angle_measures(angles_between(pred, truth))


def angle_measures(angles: Array) -> dict[str, float]:
    """Compute the measures of angles ``(N,)`` in degrees.

    Returns:
        dict[str, float]: ``mean``, ``median`` and ``rmse``, the root of the mean square, in degrees; and for each of
        ``THRESHOLDS`` the share of angles below it.
    """
    median = library_of(angles).median
    # Of an even number, PyTorch takes the lower of the two middle angles, so the negative angles give the upper one.
    middle = float(median(angles) - median(-angles)) / 2
    shares = {str(threshold): share_of(angles < threshold) for threshold in THRESHOLDS}
    return dict(mean=float(angles.mean()), median=middle, rmse=float((angles**2).mean()) ** 0.5, **shares)


def angles_between(a: Array, b: Array) -> Array:
    """Return the angles ``(N,)`` in degrees between vectors ``(3, N)``; 90 if a vector has no length."""
    library = library_of(a)
    lengths = ((a**2).sum(0) * (b**2).sum(0)) ** 0.5
    cosines = (a * b).sum(0) / library.where(lengths > 0, lengths, 1)
    return library.rad2deg(library.arccos(cosines.clip(-1, 1)))


@dataclass
class AngleSummary:
    """What the measures of all pixels of a data set need of the angles in an image.

    Args:
        sums (np.ndarray): The number of angles, their sum, the sum of their squares, and for each of ``THRESHOLDS`` the
            number of angles below it.
        histogram (np.ndarray): Number of angles in each bin of 0.02 degrees, from 0 to the largest angle.
    """

    sums: np.ndarray
    histogram: np.ndarray

    @classmethod
    def of(cls, angles: Array) -> 'AngleSummary':
        """Summarize angles ``(N,)`` in degrees."""
        angles = to_numpy(angles)
        below = [np.count_nonzero(angles < threshold) for threshold in THRESHOLDS]
        sums = np.array([len(angles), angles.sum(), (angles**2).sum(), *below])
        return cls(sums, np.bincount((angles / BIN).astype(int)).astype(np.int32))


def pooled_measures(summaries: Sequence[AngleSummary]) -> dict[str, float]:
    """Compute the measures of the pixels of all images together, as DSINE (Bae and Davison, CVPR 2024) does.

    Images with more pixels have more weight than in the means of :func:`normal_measures` over images. The median is
    computed from a histogram, and differs from the exact one by at most 0.01 degrees; all other measures are exact.

    Args:
        summaries (Sequence[AngleSummary]): One for each image, with at least one angle in total.

    Returns:
        dict[str, float]: All of ``MEASURES``.
    """
    number, total, squares, *below = sum(summary.sums for summary in summaries)
    histogram = np.zeros(max(len(summary.histogram) for summary in summaries), np.int64)
    for summary in summaries:
        histogram[: len(summary.histogram)] += summary.histogram
    middle_bins = np.searchsorted(histogram.cumsum(), [number / 2, number / 2 + 0.5])
    shares = {str(threshold): float(count / number) for threshold, count in zip(THRESHOLDS, below, strict=True)}
    return dict(
        mean=float(total / number),
        median=float((middle_bins + 0.5).mean() * BIN),
        rmse=float(squares / number) ** 0.5,
        **shares,
    )
