"""Evaluation of images such as albedo and shading."""

import cv2
import numpy as np

from mmdiffperc.registry import METRICS
from mmdiffperc.validation import validated

from .target_metric import TargetMetric, errors

# Of SSIM, as Wang et al. (TIP 2004) have them for a range of 1.
WINDOW, SIGMA = 11, 1.5
C1, C2 = 0.01**2, 0.03**2


@METRICS.register_module()
@validated
class ImageErrorMetric(TargetMetric):
    """Measures of images in [0, 1], such as albedo and shading: ``l1``, ``mse``, ``rmse``, ``psnr`` (dB) and ``ssim``.

    The arguments are those of :class:`.TargetMetric`. SSIM is the mean over channels, see :func:`.ssim`.
    """

    MEASURES = ('l1', 'mse', 'rmse', 'psnr', 'ssim')

    def measure(self, pred: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        """Compute all measures of images ``(C, H, W)``."""
        found = errors(pred, truth)
        psnr = -10 * np.log10(found['mse']) if found['mse'] else np.inf
        return dict(found, psnr=psnr, ssim=np.mean([ssim(*channels) for channels in zip(pred, truth, strict=True)]))


def ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Structural similarity of two images ``(H, W)`` in [0, 1], by Wang et al. (TIP 2004).

    Gaussian windows of 11 pixels that lie inside the image; NaN if none does.
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
    return float(np.mean(luminance * structure)) if luminance.size else np.nan
