"""Estimate poses."""

import argparse
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from mmengine.config import Config
from mmengine.structures import InstanceData
from mmpose.evaluation.functional import nms
from mmpose.structures import PoseDataSample, merge_data_samples
from mmpose.visualization import PoseLocalVisualizer

from mmdiffperc.inference.builder import build_inferencer
from mmdiffperc.inference.captioned import CaptionedInferencer
from mmdiffperc.inference.controls import Control
from mmdiffperc.inference.inputs import Frame
from mmdiffperc.inference.writers import encode_json
from mmdiffperc_cli.options import add_shared, bounded, config_file

from .dataset_check import has_area, overlaps

# Persons with a lower score or a greater overlap are dropped, as in mmpose's own inferencer.
LEAST_SCORE = 0.3
GREATEST_OVERLAP = 0.3


class PoseInferencer(CaptionedInferencer):
    """Estimate the poses of persons with one of mmpose's top-down estimators.

    (mmpose's own inferencer ignores the boxes it receives.) Each person needs a box: give the boxes, or one of
    mmdet's detectors. Otherwise, and if the detector finds nobody, the whole image is the box of one person.

    A prediction is a dict of arrays for P persons with K keypoints: ``keypoints`` ``(P, K, 2)``, x, y in pixels;
    ``keypoint_scores`` ``(P, K)``; ``boxes`` ``(P, 4)``, x1, y1, x2, y2 in pixels; and ``box_scores`` ``(P,)``. For
    each image, ``NAME_pose.json`` holds the names of the keypoints and the persons, and ``NAME_pose.png`` shows boxes
    and skeletons.

    Options of a call:

    - ``boxes`` (Sequence, optional): A box x1, y1, x2, y2 in pixels around each person, the same for all images. It may
      extend beyond the image.
    - ``text`` (str, optional): A caption, see :class:`.CaptionedInferencer`.
    - ``threshold`` (float): The lowest score of a keypoint in the picture. Defaults to 0.3.

    Args:
        model (str | Path | Config): A config.
        weights (str | Path, optional): A checkpoint of a model trained with it.
        detector (str | Path | Config, optional): The config of a detector.
        detector_weights (str | Path, optional): The checkpoint of the detector.
        person (int): The detector's class number of persons. Defaults to 0.
        **settings: See :class:`.ImageInferencer`.

    Raises:
        ValueError: ``detector_weights`` without ``detector``. In a call: a box is empty or lies outside the image.
    """

    preprocess_kwargs = {'boxes', 'text'}
    visualize_kwargs = {'threshold'}
    endings = ('_pose.json',)
    picture_ending = '_pose'

    def __init__(
        self,
        model: str | Path | Config,
        weights: str | Path | None = None,
        detector: str | Path | Config | None = None,
        detector_weights: str | Path | None = None,
        person: int = 0,
        **settings,
    ):
        if detector_weights and not detector:
            raise ValueError('detector_weights need the config of the detector: give it as detector')
        super().__init__(model, weights, **settings)
        self.detector = detector and build_inferencer(detector, detector_weights, **settings)
        self.person = person

    @classmethod
    def add_options(cls, parser: argparse.ArgumentParser):
        """Add ``--text``, ``--box``, ``--detector``, ``--detector-weights``, ``--person`` and ``--threshold``."""
        super().add_options(parser)
        boxes = parser.add_mutually_exclusive_group()
        boxes.add_argument(
            '--box',
            type=bounded(float),
            nargs=4,
            action='append',
            dest='boxes',
            metavar=('X1', 'Y1', 'X2', 'Y2'),
            help='box around a person, in pixels; repeat it for more people (default: the whole image)',
        )
        boxes.add_argument('--detector', type=config_file, metavar='CONFIG', help='config of a detector of mmdet')
        parser.add_argument('--detector-weights', metavar='FILE', help='checkpoint of the detector')
        parser.add_argument('--person', type=bounded(int, 0), help='class index of people in the detector (default: 0)')
        add_shared(parser, '--threshold', 'of a keypoint; default: 0.3')

    @property
    def controls(self) -> tuple[Control, ...]:
        """The caption, if the model reads one, the boxes and the threshold."""
        return (
            *super().controls,
            Control('boxes', 'boxes', 'Boxes'),
            Control('threshold', 'score', 'Threshold', 'The lowest score of a keypoint in the picture.', 0.3),
        )

    def predict(
        self, frames: Sequence[Frame], boxes: Sequence[Sequence[float]] | None = None, text: str | None = None
    ) -> list[dict]:
        """Estimate the poses in a batch of images; all persons go through the model together."""
        boxes_of_frames = self._find_boxes(frames, boxes)
        samples = [
            self.pipeline(
                dict(img=frame.pixels, bbox=box[None, :4], bbox_score=box[4:], **self.dataset_meta)
                | self.describe(frame, text)
            )
            for frame, boxes in zip(frames, boxes_of_frames, strict=True)
            for box in boxes
        ]
        results = iter(self.forward(self.collate_fn(samples)))
        groups = [list(islice(results, len(boxes))) for boxes in boxes_of_frames]
        return [self.to_prediction(group, frame) for group, frame in zip(groups, frames, strict=True)]

    def to_prediction(self, result: Sequence[PoseDataSample], frame: Frame) -> dict:
        """Return keypoints and boxes of all persons of an image."""
        people = merge_data_samples(result).pred_instances
        return dict(
            keypoints=people.keypoints,
            keypoint_scores=people.keypoint_scores,
            boxes=people.bboxes,
            box_scores=people.bbox_scores,
        )

    def draw(self, image: np.ndarray, prediction: dict, threshold: float = 0.3) -> np.ndarray:
        """Draw boxes and skeletons."""
        people = InstanceData(
            keypoints=prediction['keypoints'],
            keypoint_scores=prediction['keypoint_scores'],
            bboxes=prediction['boxes'],
        )
        sample = PoseDataSample(pred_instances=people)
        rgb = np.ascontiguousarray(image[..., ::-1])
        return self.visualizer.add_datasample('', rgb, sample, draw_gt=False, draw_bbox=True, kpt_thr=threshold)

    def encode(self, prediction: dict) -> dict[str, bytes]:
        """List the persons in JSON."""
        names = self.dataset_meta['keypoint_id2name']
        keys = dict(keypoints='keypoints', keypoint_scores='keypoint_scores', boxes='box', box_scores='box_score')
        rows = zip(*(prediction[name].tolist() for name in keys), strict=True)
        people = [dict(zip(keys.values(), row, strict=True)) for row in rows]
        return {'_pose.json': encode_json(dict(keypoint_names=[names[i] for i in sorted(names)], people=people))}

    def summarize(self, prediction: dict) -> str:
        """Return the number of persons and the highest score of a keypoint."""
        scores = prediction['keypoint_scores']
        return f'persons: {len(scores)}, highest score of a keypoint: {scores.max():.3f}'

    def _find_boxes(self, frames, boxes) -> list[np.ndarray]:
        """Return boxes and their scores, ``(P, 5)`` for each image."""
        sizes = [frame.pixels.shape[:2] for frame in frames]
        if boxes is not None:
            return [with_scores(check_boxes(boxes, size)) for size in sizes]
        whole = [with_scores(np.float32([[0, 0, width, height]])) for height, width in sizes]
        if self.detector is None:
            return whole
        found = [self._persons(detected) for detected in self.detector.predict(frames)]
        return [boxes if len(boxes) else image for boxes, image in zip(found, whole, strict=True)]

    def _persons(self, detected):
        boxes = np.column_stack([detected['boxes'], detected['scores']])
        boxes = boxes[(detected['labels'] == self.person) & (detected['scores'] > LEAST_SCORE)]
        return boxes[nms(boxes, GREATEST_OVERLAP)]

    def _init_visualizer(self, cfg: Config) -> PoseLocalVisualizer:
        visualizer = PoseLocalVisualizer()
        visualizer.set_dataset_meta(self.dataset_meta)
        return visualizer


def with_scores(boxes: np.ndarray) -> np.ndarray:
    """Append a score of 1 to boxes ``(P, 4)``."""
    return np.column_stack([boxes, np.ones(len(boxes), np.float32)])


def check_boxes(boxes: Sequence[Sequence[float]], size: Sequence[int]) -> np.ndarray:
    """Convert boxes to an array ``(P, 4)``, provided that each overlaps an image of this height and width.

    Raises:
        ValueError: There is no box, or one is empty or lies outside the image.
    """
    array = np.asarray(boxes, np.float32)
    if array.ndim != 2 or array.shape[1] != 4 or not len(array):
        raise ValueError(f'Expected boxes x1, y1, x2, y2, got an array of shape {array.shape}')
    for box in array.tolist():
        if not has_area(box):
            raise ValueError(f'Box {box} is empty: expected finite x1, y1, x2, y2 with x1 < x2 and y1 < y2')
        if not overlaps(box, size):
            raise ValueError(f'Box {box} lies outside the image, which is {size[1]} wide and {size[0]} high')
    return array
