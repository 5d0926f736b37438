"""Poses in your own image."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from mmpose.apis import MMPoseInferencer

from mmdiffperc.inference.image_files import read_image

from .dataset_check import has_area, overlaps
from .given_boxes import given_boxes


def estimate_pose(
    inferencer: MMPoseInferencer,
    image: str | Path | np.ndarray,
    boxes: Sequence[Sequence[float]] | None = None,
    **drawing,
) -> tuple[list[dict], np.ndarray]:
    """Estimate the poses of the persons in an image, and draw them.

    Args:
        inferencer (MMPoseInferencer): Made of a config and a checkpoint, such as
            ``MMPoseInferencer(config, checkpoint, det_model='whole_image')``.
        image (str | Path | np.ndarray): An image file, or ``(H, W, 3)`` in BGR, uint8, as ``mmcv.imread`` gives it.
        boxes (Sequence, optional): A box ``x1, y1, x2, y2`` in pixels around each person; it may stick out of the
            image. Default: what the inferencer's detector finds; the whole image if it has no detector, or finds
            nobody.
        **drawing: How the inferencer draws: ``kpt_thr`` (0.3), ``radius`` (3), ``thickness`` (1), ``draw_bbox``
            (False), ``black_background`` (False).

    Returns:
        tuple: One dict per person, in the order of the boxes, with ``keypoints`` (a list of x, y in pixels of the
        image), ``keypoint_scores``, ``bbox`` and ``bbox_score``; and the picture ``(H, W, 3)`` in RGB, uint8.

    Raises:
        OSError: There is no such file.
        TypeError: The image is neither file nor array.
        ValueError: The file holds no image, or the array is of another shape or type; a box is empty or lies outside
            of the image.
    """
    picture = read_image(image)
    checked = None if boxes is None else check_boxes(boxes, picture.shape[:2])
    with given_boxes(inferencer, checked) as arguments:
        (result,) = inferencer(picture, return_vis=True, **arguments, **drawing)
    people = [_in_plain_numbers(person) for person in result['predictions'][0]]
    if checked is not None:
        people = [person | dict(bbox_score=1.0) for person in people]
    return people, result['visualization'][0]


def _in_plain_numbers(person: dict) -> dict:
    """Box and score as numbers of Python; mmpose gives a tuple of one list, and numpy's."""
    (box,) = person['bbox']
    return person | dict(bbox=[float(x) for x in box], bbox_score=float(person['bbox_score']))


def check_boxes(boxes: Sequence[Sequence[float]], size: Sequence[int]) -> np.ndarray:
    """Convert the boxes to an array ``(N, 4)``, provided that each overlaps an image of this height and width.

    Raises:
        ValueError: There is none, or one is empty or lies outside.
    """
    array = np.asarray(boxes, np.float32)
    if array.ndim != 2 or array.shape[1] != 4 or not len(array):
        raise ValueError(f'Expected boxes x1, y1, x2, y2, got an array of shape {array.shape}')
    for box in array.tolist():
        if not has_area(box):
            raise ValueError(f'Box {box} is empty: expected finite x1, y1, x2, y2 with x1 < x2 and y1 < y2')
        if not overlaps(box, size):
            raise ValueError(f'Box {box} lies outside of the image, which is {size[1]} wide and {size[0]} high')
    return array
