"""Files of predicted targets."""

from pathlib import Path

import numpy as np

from mmdiffperc.files import write_whole
from mmdiffperc.inference.writers import encode_png

from . import TargetCodec
from .target_codec import PER_IMAGE
from .target_files import encode_npz


def prediction_files(stem: Path) -> tuple[Path, Path]:
    """Picture and array of a prediction, ``STEM.png`` and ``STEM.npz``."""
    return Path(f'{stem}.png'), Path(f'{stem}.npz')


def write_prediction(target: np.ndarray, stem: Path, codec: TargetCodec):
    """Write a predicted target to its two files, each of which appears when it is whole; the array is ``x``."""
    picture, array = prediction_files(stem)
    write_whole(array, encode_npz(target))
    write_whole(picture, encode_png(to_picture(target, codec)))


def to_picture(target: np.ndarray, codec: TargetCodec) -> np.ndarray:
    """Return a target as a picture to look at.

    Args:
        target (np.ndarray): Colours ``(H, W, 3)`` in [0, 1], or one channel ``(H, W)``.
        codec (TargetCodec): That of the model. What it counts as 1 is white.

    Returns:
        np.ndarray: Colours in 8 bits, RGB; or one channel in 16 bits, as the official code of DMP has them.
    """
    if target.ndim == 3:
        return np.round(target * np.float32(255)).astype(np.uint8)
    scale = 1 if codec.target_scale == PER_IMAGE else codec.target_scale
    return np.round((target / np.float32(scale)).clip(0, 1) * np.float32(65535)).astype(np.uint16)
