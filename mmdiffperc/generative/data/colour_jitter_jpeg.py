"""Colour jitter and JPEG compression of an image."""

from typing import Annotated

import cv2
import numpy as np
import torch
from pydantic import Field

from mmdiffperc.registry import TRANSFORMS
from mmdiffperc.validation import Expected, Fraction, validated

Hue = Annotated[float, Field(ge=0, le=0.5), Expected('a number from 0 to 0.5')]
Quality = Annotated[int, Field(ge=1, le=100), Expected('a whole number from 1 to 100')]


@TRANSFORMS.register_module()
@validated
class ColourJitterJPEG:
    """Jitter the colours of an image, then compress it as JPEG.

    This is the option ``--more_augment`` of the official code of `DMP <https://arxiv.org/abs/2311.18832>`_, which
    changes only the image: its target stays unchanged.

    Place it after the loader of the image. Modified key: ``img``, BGR ``(H, W, 3)`` with 8 bits.

    Args:
        prob (float): Probability that the transform does anything. Defaults to 1.
        jitter_prob (float): Probability that it jitters the colours. Defaults to 0.9.
        brightness (float): Largest relative change of the brightness. Defaults to 0.2.
        contrast (float): Largest relative change of the contrast. Defaults to 0.2.
        saturation (float): Largest relative change of the saturation. Defaults to 0.2.
        hue (float): Largest change of the hue, in turns of the colour circle. Defaults to 0.05.
        jpeg_prob (float): Probability that it compresses the image. Defaults to 0.5.
        lowest_quality (int): The quality of JPEG is a random number from this one to 100. Defaults to 70.

    Raises:
        ImportError: When building: the package torchvision is not installed.
    """

    def __init__(
        self,
        prob: Fraction = 1.0,
        jitter_prob: Fraction = 0.9,
        brightness: Fraction = 0.2,
        contrast: Fraction = 0.2,
        saturation: Fraction = 0.2,
        hue: Hue = 0.05,
        jpeg_prob: Fraction = 0.5,
        lowest_quality: Quality = 70,
    ):
        from torchvision import tv_tensors  # here, because only this transform needs it
        from torchvision.transforms import v2

        self.prob = prob
        self.jitter = v2.RandomApply([v2.ColorJitter(brightness, contrast, saturation, hue)], jitter_prob)
        self.as_image = tv_tensors.Image
        self.jpeg_prob = jpeg_prob
        self.lowest_quality = lowest_quality

    def __call__(self, results: dict) -> dict:
        """Transform the image."""
        if torch.rand(()) < self.prob:
            results['img'] = self._compress(self._jitter(results['img']))
        return results

    def _jitter(self, image):
        rgb = np.ascontiguousarray(image[..., ::-1].transpose(2, 0, 1))
        return np.ascontiguousarray(self.jitter(self.as_image(rgb)).permute(1, 2, 0).numpy()[..., ::-1])

    def _compress(self, image):
        if torch.rand(()) >= self.jpeg_prob:
            return image
        quality = int(torch.randint(self.lowest_quality, 101, ()))
        content = cv2.imencode('.jpg', image, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return cv2.imdecode(content, cv2.IMREAD_COLOR)
