"""Predictions as the content of files: PNG, npz and JSON, and videos of pictures."""

import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from mmdiffperc.files import whole_file

VIDEO_CODEC = 'mp4v'  # the one that every build of OpenCV can write


def encode_png(picture: np.ndarray) -> bytes:
    """Encode ``(H, W)`` or RGB ``(H, W, 3)``, uint8 or uint16, as PNG."""
    return cv2.imencode('.png', picture[..., ::-1] if picture.ndim == 3 else picture)[1].tobytes()


def encode_npz(**arrays: np.ndarray) -> bytes:
    """Encode arrays under their names as a compressed npz."""
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return content.getvalue()


def encode_json(content: dict | list) -> bytes:
    """Encode plain data as indented JSON."""
    return json.dumps(content, indent=2, ensure_ascii=False).encode()


@contextmanager
def video_writer(path: str | Path, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a video, which appears under its name once it is complete.

    Args:
        path (str | Path): The video to create or replace; its suffix is ``.mp4``.
        fps (float): Frames per second.

    Yields:
        Callable: Appends a frame: RGB ``(H, W, 3)``, uint8, every one of the size of the first.

    Raises:
        OSError: OpenCV cannot write the video.
    """
    writer = cv2.VideoWriter()
    with whole_file(path) as partial:

        def write(picture: np.ndarray):
            size = picture.shape[1::-1]
            if not writer.isOpened() and not writer.open(str(partial), cv2.VideoWriter_fourcc(*VIDEO_CODEC), fps, size):
                raise OSError(
                    f'{path}: OpenCV cannot write a video of {size[0]} x {size[1]} pixels with the codec '
                    f'{VIDEO_CODEC}; install opencv-python with FFmpeg'
                )
            writer.write(np.ascontiguousarray(picture[..., ::-1]))

        try:
            yield write
        finally:
            writer.release()
