"""Measures of images and maps, pixel by pixel and by structure."""

import cv2
import numpy as np

from .arrays import Array

# Constants of SSIM for a range of 1, by Wang et al. (TIP 2004).
WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


def errors(pred: Array, truth: Array) -> dict[str, float]:
    """Return the mean absolute (``l1``), mean squared (``mse``) and root mean squared (``rmse``) error."""
    difference = pred - truth
    mse = float((difference**2).mean())
    return dict(l1=float(abs(difference).mean()), mse=mse, rmse=mse**0.5)


def image_measures(pred: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Compute the measures of images ``(C, H, W)`` in [0, 1].

    Pixels whose truth is NaN do not count, nor do the windows of ``ssim`` that contain one.

    Returns:
        dict[str, float]: The :func:`errors`, ``psnr`` in dB, and ``ssim``, the mean over channels.
    """
    known = ~np.isnan(truth[0])
    found = errors(pred[:, known], truth[:, known])
    psnr = -10 * np.log10(found['mse']) if found['mse'] else np.inf
    return dict(found, psnr=psnr, ssim=np.mean([ssim(*channels) for channels in zip(pred, truth, strict=True)]))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Return the structural similarity of two images ``(H, W)`` in [0, 1], by Wang et al. (TIP 2004).

    It is the mean over Gaussian windows of 11 pixels inside the image, without those that contain NaN; NaN if there is
    no such window.
    """
    border = WINDOW // 2
    inside = (slice(border, -border),) * 2

    def blur(image):
        return cv2.GaussianBlur(image, (WINDOW, WINDOW), SIGMA)[inside]

    mean_a, mean_b = blur(a), blur(b)
    variance_a, variance_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    covariance = blur(a * b) - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + C1) / (mean_a**2 + mean_b**2 + C1)
    structure = (2 * covariance + C2) / (variance_a + variance_b + C2)
    return mean_of_defined(luminance * structure)


def mean_of_defined(values: np.ndarray) -> float:
    """Return the mean of the values that are not NaN; NaN if all are."""
    defined = values[~np.isnan(values)]
    return float(defined.mean()) if len(defined) else np.nan
