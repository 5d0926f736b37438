"""A short video."""

from pathlib import Path

import cv2
import numpy as np
import pytest


@pytest.fixture
def frames() -> list[np.ndarray]:
    """Three frames, BGR, each of one colour."""
    colours = (0, 60, 200), (90, 90, 90), (210, 30, 0)
    return [np.full((48, 64, 3), colour, np.uint8) for colour in colours]


@pytest.fixture
def video(tmp_path, frames) -> Path:
    """These frames as a video of five frames a second."""
    path = tmp_path / 'walk.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 5, (64, 48))
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path
