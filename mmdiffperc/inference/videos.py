"""Read and write videos with one frame at a time in memory."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np

from mmdiffperc.files import whole_file

VIDEO_SUFFIXES = ('.avi', '.m4v', '.mkv', '.mov', '.mp4', '.webm')
CODEC = 'mp4v'  # part of every build of OpenCV
USUAL_FPS = 25.0  # for a video that does not state its frame rate


def count_frames(path: str | Path) -> int:
    """Return the number of frames according to the header of a video, or 0 if it cannot be read."""
    with _opened(path) as capture:
        return max(int(capture.get(cv2.CAP_PROP_FRAME_COUNT)), 0)


def frames_per_second(path: str | Path) -> float:
    """Return the frames per second of a video."""
    with _opened(path) as capture:
        return capture.get(cv2.CAP_PROP_FPS) or USUAL_FPS


def read_video(path: str | Path) -> Iterator[np.ndarray]:
    """Read the frames of a video, each ``(H, W, 3)`` in BGR, uint8.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not a video.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'{path}: no such video; check the path')
    with _opened(path) as capture:
        is_read, pixels = capture.read()
        if not is_read:
            raise ValueError(f'{path}: empty, damaged, or not a video that OpenCV can read; convert it to MP4')
        while is_read:
            yield pixels
            is_read, pixels = capture.read()


@contextmanager
def video_writer(path: str | Path, fps: float) -> Iterator[Callable[[np.ndarray], None]]:
    """Write a video that appears under its name only once it is complete.

    Args:
        path (str | Path): The video to create or replace; its suffix is ``.mp4``.
        fps (float): Frames per second.

    Yields:
        Callable: Appends a frame, RGB ``(H, W, 3)``, uint8. All frames have the size of the first. The format has no
        odd sides: it drops the last row or column.

    Raises:
        OSError: The video cannot be written, for instance because the disk is full.
    """
    writer, number = cv2.VideoWriter(), 0

    def append(picture: np.ndarray):
        nonlocal number
        if not writer.isOpened():
            writer.open(str(partial), cv2.VideoWriter_fourcc(*CODEC), fps, picture.shape[1::-1])
        writer.write(np.ascontiguousarray(picture[..., ::-1]))
        number += 1

    with whole_file(path) as partial:
        try:
            yield append
        finally:
            writer.release()
        if count_frames(partial) != number:  # OpenCV does not report errors
            raise OSError(
                f'{path}: OpenCV could not write this video; check the free space of the disk, and that opencv-python '
                'has FFmpeg'
            )


@contextmanager
def _opened(path):
    capture = cv2.VideoCapture(str(path))
    try:
        yield capture
    finally:
        capture.release()
