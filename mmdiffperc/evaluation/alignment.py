"""Alignment of relative depth or disparity with depth in metres, for evaluation and for prediction."""

from dataclasses import dataclass

import numpy as np

from .arrays import Array

LEAST_DISPARITY = 1e-3  # 1 / m
# Of the robust fit: the least residual, relative to the mean reference, and when it stops.
LEAST_RESIDUAL = 1e-6
MOST_ITERATIONS = 100
LEAST_DECREASE = 1e-9
_IN_DISPARITY = '_disparity'


class AlignmentError(ValueError):
    """A prediction does not determine how it is aligned."""


@dataclass(frozen=True)
class DepthFit:
    """A scale and a shift that align a prediction with depth in metres.

    Args:
        scale (float): Factor.
        shift (float): Added after scaling.
        in_disparity (bool): The prediction is a disparity: its scaled and shifted values are the inverse of depth.
            Defaults to False.
    """

    scale: float
    shift: float
    in_disparity: bool = False

    def apply(self, pred: Array) -> Array:
        """Return the aligned depth, in the shape of the prediction.

        In disparity, values below 0.001 / m are raised to it, which is 1000 m: as in the code of Marigold, this is the
        depth of pixels whose aligned disparity is 0 or negative. Otherwise, aligned depth may be negative.
        """
        fitted = self.scale * pred + self.shift
        return 1 / fitted.clip(LEAST_DISPARITY) if self.in_disparity else fitted


def fit_depth(
    pred: np.ndarray,
    reference: np.ndarray,
    method: str = 'least_squares',
    valid: np.ndarray | None = None,
    max_size: int | None = None,
) -> DepthFit:
    """Fit the scale and the shift that a prediction lacks, to true, measured or other predicted depth.

    - ``median``: the scale ``median(reference) / median(pred)``, without a shift (Zhou et al., CVPR 2017).
    - ``least_squares``: ``min sum (s pred + t - reference)^2``, as MiDaS (Ranftl et al., TPAMI 2022) fits disparity and
      Marigold (Ke et al., CVPR 2024) depth.
    - ``robust``: ``min sum |s pred + t - reference|``, on which outliers have little influence. Least squares are
      iterated with the weights ``1 / |residual|``, the algorithm of Weiszfeld, at most 100 times, or until the sum
      decreases by less than 1e-9 of itself. Residuals below 1e-6 of the mean reference are raised to it.
    - ``least_squares_disparity``, ``robust_disparity``: the same if the prediction is a disparity. It is fitted to
      ``1 / reference``, and :meth:`DepthFit.apply` returns depth again. Pixels whose prediction is not positive have no
      influence on the fit.

    Args:
        pred (np.ndarray): Predicted depth or disparity, of any shape.
        reference (np.ndarray): Depth in metres, in the same shape. Pixels without a positive, finite depth are not
            fitted, such as those without a measurement in sparse depth.
        method (str): One of ``ALIGNMENTS``. Defaults to 'least_squares'.
        valid (np.ndarray, optional): Boolean, in the same shape: the only pixels to fit. Default: all.
        max_size (int, optional): If the longer side of the maps ``(..., H, W)`` has more pixels, fit a regular grid of
            pixels, with this many along the longer side. Default: fit all pixels.

    Returns:
        DepthFit: The scale and the shift.

    Raises:
        AlignmentError: There are fewer than two pixels, the prediction is constant, or its median is not positive.
    """
    in_disparity = method.endswith(_IN_DISPARITY)
    usable = np.isfinite(pred) & np.isfinite(reference) & (reference > 0)
    if valid is not None:
        usable &= valid
    if in_disparity:
        usable &= pred > 0
    if max_size is not None:
        pred, reference, usable = (_on_grid(each, max_size) for each in (pred, reference, usable))
    pred, reference = (each[usable].astype(float) for each in (pred, reference))
    if len(pred) < 2:
        raise AlignmentError(f'alignment needs at least two valid pixels, got {len(pred)}')
    fit = _FITS[method.removesuffix(_IN_DISPARITY)]
    return DepthFit(*fit(pred, 1 / reference if in_disparity else reference), in_disparity)


def _fit_median(pred, reference):
    median = np.median(pred)
    if not median > 0:
        raise AlignmentError('the median of the prediction is not positive, so that no scale aligns it')
    return float(np.median(reference) / median), 0.0


def _fit_least_squares(pred, reference, weights=None):
    if pred.min() == pred.max():
        raise AlignmentError('a constant prediction determines no scale')
    centre, mean = (np.average(each, weights=weights) for each in (pred, reference))
    centred = pred - centre
    weighted = centred if weights is None else weights * centred
    scale = weighted @ (reference - mean) / (weighted @ centred)
    return float(scale), float(mean - scale * centre)


def _fit_robust(pred, reference):
    scale, shift = _fit_least_squares(pred, reference)
    floor, error = LEAST_RESIDUAL * reference.mean(), np.inf
    for _ in range(MOST_ITERATIONS):
        residuals = np.abs(scale * pred + shift - reference)
        previous, error = error, residuals.sum()
        if previous - error <= LEAST_DECREASE * error:
            break
        scale, shift = _fit_least_squares(pred, reference, 1 / residuals.clip(floor))
    return scale, shift


_FITS = dict(median=_fit_median, least_squares=_fit_least_squares, robust=_fit_robust)
ALIGNMENTS = (*_FITS, *(f'{name}{_IN_DISPARITY}' for name in ('least_squares', 'robust')))


def _on_grid(array, max_size):
    """Select the nearest pixels of a smaller image, as nearest-neighbour interpolation does."""
    size = array.shape[-2:]
    if (longest := max(size)) <= max_size:
        return array
    rows, columns = (np.arange(side * max_size // longest) * longest // max_size for side in size)
    return array[..., rows[:, None], columns]
