"""COCO person keypoints, checked while they are loaded."""

import logging
from collections.abc import Sequence

from mmengine.logging import print_log
from mmpose.datasets.datasets import CocoDataset
from mmpose.registry import DATASETS

from mmdiffperc.validation import validated


@DATASETS.register_module()
@validated
class CheckedCocoDataset(CocoDataset):
    """mmpose's ``CocoDataset``, which says what is wrong with a file instead of giving no samples or failing later.

    Boxes that lie outside of their image altogether are left out, annotated and detected ones alike; how many is
    logged.

    Args:
        **kwargs: Arguments of mmpose's ``CocoDataset``.

    Raises:
        ValueError: The annotation file has no keypoints, or not as many an object as the data set; nothing usable is
            left of the annotations or of the detections in ``bbox_file``.
    """

    def parse_data_info(self, raw_data_info: dict) -> dict | None:
        """Parse the annotation of an object; its keypoints have to be as many as those of the data set."""
        annotation, expected = raw_data_info['raw_ann_info'], self._metainfo['num_keypoints']
        values = annotation.get('keypoints')
        if values is not None and len(values) != 3 * expected:
            raise ValueError(
                f'{self.ann_file}: annotation {annotation["id"]} has {len(values)} values as keypoints, expected x, y '
                f'and visibility of {expected}, {3 * expected} values; give another data set as metainfo'
            )
        return super().parse_data_info(raw_data_info)

    def _load_annotations(self):
        instances, images = super()._load_annotations()
        if not instances:
            raise self._no_keypoints()
        return instances, images

    def _no_keypoints(self):
        return ValueError(
            f'{self.ann_file}: none of its {len(self.coco.anns)} objects has a box and keypoints; expected a file '
            'like person_keypoints_train2017.json of COCO (instances_train2017.json has none)'
        )

    def _get_topdown_data_infos(self, instance_list):
        # mmpose has clipped the boxes to their images.
        report_outside(self.ann_file, sum(not has_area(one['bbox'][0]) for one in instance_list))
        if not (usable := super()._get_topdown_data_infos(instance_list)):
            raise ValueError(
                f'{self.ann_file}: of its {len(instance_list)} objects with keypoints none can be used: each is a '
                'crowd, has no labelled keypoint, or has a box outside of its image'
            )
        return usable

    def _load_detection_results(self):
        detections = super()._load_detection_results()
        annotations = self.coco.anns.values()  # for the metric; none in a test set whose truth is not public
        if annotations and not any('keypoints' in one for one in annotations):
            raise self._no_keypoints()
        usable = [one for one in detections if overlaps(one['bbox'][0], one['img_shape'])]
        report_outside(self.bbox_file, len(detections) - len(usable))
        if not usable:
            raise ValueError(
                f'{self.bbox_file}: none of its {len(detections)} boxes of persons (category_id 1) lies in an image; '
                'boxes are [x, y, width, height] in pixels'
            )
        return usable


def report_outside(file: str, count: int):
    """Log how many boxes of a file are left out, if any."""
    if count:
        print_log(
            f'{file}: left out {count} box(es) that are empty or lie outside of their image',
            logger='current',
            level=logging.WARNING,
        )


def has_area(box: Sequence[float]) -> bool:
    """Whether a box ``(x1, y1, x2, y2)`` is not empty."""
    x1, y1, x2, y2 = box
    return x2 > x1 and y2 > y1


def overlaps(box: Sequence[float], size: Sequence[int]) -> bool:
    """Whether a part of a box ``(x1, y1, x2, y2)`` that is not empty lies in an image of this height and width."""
    (x1, y1, x2, y2), (height, width) = box, size
    return has_area((max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)))
