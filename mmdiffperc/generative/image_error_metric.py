"""Evaluation of images such as albedo and shading."""

import numpy as np

from mmdiffperc.evaluation.images import image_measures
from mmdiffperc.registry import METRICS
from mmdiffperc.validation import validated

from .target_metric import TargetMetric


@METRICS.register_module()
@validated
class ImageErrorMetric(TargetMetric):
    """Measures of images in [0, 1], such as albedo and shading: ``l1``, ``mse``, ``rmse``, ``psnr`` (dB) and ``ssim``.

    The arguments are those of :class:`.TargetMetric`. For the measures see :func:`.image_measures`.
    """

    MEASURES = ('l1', 'mse', 'rmse', 'psnr', 'ssim')

    def measure(self, pred: np.ndarray, truth: np.ndarray) -> dict[str, float]:
        """Compute all measures of images ``(C, H, W)``."""
        return image_measures(pred, truth)
