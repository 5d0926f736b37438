"""Boxes given by the user, where mmpose's inferencer would ask a detector.

``MMPoseInferencer`` of mmpose 1.3.2 accepts an argument ``bboxes`` and does not look at it.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from mmengine.structures import BaseDataElement, InstanceData
from mmpose.apis import MMPoseInferencer

PERSON = 0


class GivenBoxes:
    """A detector that finds in any image the boxes it was given.

    Args:
        boxes (np.ndarray): ``(N, 4)``, each ``x1, y1, x2, y2``.
    """

    def __init__(self, boxes: np.ndarray):
        count = len(boxes)
        # The inferencer sorts by score; falling ones keep the order.
        scores = torch.linspace(1, 0.9, count)
        self.found = InstanceData(
            bboxes=torch.as_tensor(boxes, dtype=torch.float32),
            scores=scores,
            labels=torch.full((count,), PERSON),
        )

    def __call__(self, image, return_datasamples: bool = True) -> dict:
        """Return the boxes, as mmdet's ``DetInferencer`` gives them."""
        return dict(predictions=[BaseDataElement(pred_instances=self.found)])


@contextmanager
def given_boxes(inferencer: MMPoseInferencer, boxes: np.ndarray | None) -> Iterator[dict]:
    """Let the inferencer use these boxes, if there are any; gives the arguments for calling it."""
    if boxes is None:
        yield {}
        return
    pose2d = inferencer.inferencer
    before = pose2d.detector, getattr(pose2d, 'det_cat_ids', None)
    pose2d.detector, pose2d.det_cat_ids = GivenBoxes(boxes), (PERSON,)
    try:
        yield dict(nms_thr=1.0)  # none may be suppressed
    finally:
        pose2d.detector, pose2d.det_cat_ids = before
