"""Blur an image and cut a hole into it."""

from typing import Annotated

import cv2
import numpy as np
from pydantic import Field

from mmdiffperc.registry import TRANSFORMS
from mmdiffperc.validation import Expected, Fraction, Listed, validated

KERNELS = (3, 5, 7)
Range = Annotated[
    Listed[Fraction], Field(min_length=2, max_length=2), Expected('two numbers from 0 to 1, low and high')
]


@TRANSFORMS.register_module()
@validated
class DisturbImage:
    """Blur an image with a low probability, and cut a hole into it.

    From the training of `SDPose <https://arxiv.org/abs/2509.24980>`_, which has these transforms from albumentations:
    ``Blur``, ``MedianBlur`` and ``CoarseDropout``. Here, they take their random numbers from NumPy, which mmengine
    seeds, so that a training run can be repeated. Place :class:`.KeepCleanImage` before it.

    Modified key: ``img``, ``(H, W, 3)`` with 8 bits.

    Args:
        blur_prob (float): Probability of a blur by a mean filter of 3 to 7 pixels. Defaults to 0.1.
        median_prob (float): Probability of a blur by a median filter of 3 to 7 pixels. Defaults to 0.1.
        hole_prob (float): Probability of a black hole. Defaults to 1.
        hole_size (Sequence[float]): Smallest and largest height of the hole, and its width, as fractions of the image.
            Defaults to (0.2, 0.4).

    Raises:
        ValueError: The smallest size is larger than the largest.
    """

    def __init__(
        self,
        blur_prob: Fraction = 0.1,
        median_prob: Fraction = 0.1,
        hole_prob: Fraction = 1.0,
        hole_size: Range = (0.2, 0.4),
    ):
        low, high = hole_size
        if low > high:
            raise ValueError(f'hole_size={tuple(hole_size)}: expected the smallest size and then the largest')
        self.blur_prob = blur_prob
        self.median_prob = median_prob
        self.hole_prob = hole_prob
        self.hole_size = low, high

    def __call__(self, results: dict) -> dict:
        """Disturb the image of the results of a pipeline."""
        image = results['img']
        if np.random.random() < self.blur_prob:
            image = cv2.blur(image, [np.random.choice(KERNELS).item()] * 2)
        if np.random.random() < self.median_prob:
            image = cv2.medianBlur(image, np.random.choice(KERNELS).item())
        if np.random.random() < self.hole_prob:
            image = image.copy()
            image[tuple(map(self._span, image.shape[:2]))] = 0
        return dict(results, img=image)

    def _span(self, side: int) -> slice:
        length = round(np.random.uniform(*self.hole_size) * side)
        start = np.random.randint(side - length + 1)
        return slice(start, start + length)
