"""Masks and maps of classes as pictures."""

from collections.abc import Sequence

import cv2
import numpy as np

COLOUR = (220, 20, 60)  # crimson, rare in photographs


def mask_overlay(image: np.ndarray, mask: np.ndarray, opacity: float = 0.5) -> np.ndarray:
    """Tint and outline a mask on an image.

    Args:
        image (np.ndarray): ``(H, W, 3)`` uint8, RGB.
        mask (np.ndarray): ``(H, W)`` bool.
        opacity (float): Opacity of the tint. Defaults to 0.5.

    Returns:
        np.ndarray: ``(H, W, 3)`` uint8, RGB.
    """
    tinted = np.round(opacity * np.array(COLOUR) + (1 - opacity) * image)
    picture = np.where(mask[..., None], tinted, image).astype(np.uint8)
    outlines, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(picture, outlines, -1, COLOUR)


def label_overlay(
    image: np.ndarray, labels: np.ndarray, palette: Sequence[Sequence[int]], opacity: float = 0.5
) -> np.ndarray:
    """Tint each pixel of an image in the colour of its class.

    Args:
        image (np.ndarray): ``(H, W, 3)`` uint8, RGB.
        labels (np.ndarray): ``(H, W)``, the number of the class.
        palette (Sequence): A colour for each class, RGB in 0 to 255.
        opacity (float): Opacity of the colours. Defaults to 0.5.

    Returns:
        np.ndarray: ``(H, W, 3)`` uint8, RGB.
    """
    colours = np.asarray(palette, np.float32)[labels]
    return np.round(opacity * colours + (1 - opacity) * image).astype(np.uint8)
