"""Measures of surface normals: the angles between predicted and true directions."""

from .arrays import Array, library_of, share_of

THRESHOLDS = (11.25, 22.5, 30)  # degrees
MEASURES = ('mean', 'median', *map(str, THRESHOLDS))


def normal_measures(pred: Array, truth: Array) -> dict[str, float]:
    """Compute the measures of one image.

    Args:
        pred (np.ndarray | torch.Tensor): Predicted directions ``(3, N)`` of any length.
        truth (np.ndarray | torch.Tensor): True directions ``(3, N)`` of any length above 0.

    Returns:
        dict[str, float]: ``mean`` and ``median`` of the angles in degrees, and for each of ``THRESHOLDS`` the share of
        pixels whose angle is below it.
    """
    angles = angles_between(pred, truth)
    median = library_of(angles).median
    # Of an even number, PyTorch takes the lower of the two middle angles, so the negative angles give the upper one.
    middle = float(median(angles) - median(-angles)) / 2
    shares = {str(threshold): share_of(angles < threshold) for threshold in THRESHOLDS}
    return dict(mean=float(angles.mean()), median=middle, **shares)


def angles_between(a: Array, b: Array) -> Array:
    """Return the angles ``(N,)`` in degrees between vectors ``(3, N)``; 90 if a vector has no length."""
    library = library_of(a)
    lengths = ((a**2).sum(0) * (b**2).sum(0)) ** 0.5
    cosines = (a * b).sum(0) / library.where(lengths > 0, lengths, 1)
    return library.rad2deg(library.arccos(cosines.clip(-1, 1)))
