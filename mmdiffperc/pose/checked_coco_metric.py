"""COCO's measures of keypoints, whose annotations are checked before the training starts."""

import warnings

from mmengine.logging import MessageHub
from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import METRICS

from mmdiffperc.coco import check_exists, is_area
from mmdiffperc.files import brief
from mmdiffperc.validation import validated

# What the evaluation reads of every annotation, and what to do where it is missing.
NEEDED = dict(
    bbox='Add the boxes',
    keypoints='Leave out objects without keypoints, or give them [0, 0, 0] for each',
)
AREA = 'Set use_area=False in the metric, which then uses 0.53 of the area of the box; or add the areas of the objects'
NUM_KEYPOINTS = "Add the number of labelled keypoints, or set iou_type='keypoints'"


@METRICS.register_module()
@validated
class CheckedCocoMetric(CocoMetric):
    """mmpose's ``CocoMetric``, which reports missing fields of the annotations before the training starts.

    mmpose raises a ``KeyError`` at the end of the first validation. The annotations are checked when the metric is
    built with an ``ann_file``, or else when it receives the meta information of the data set.

    Args:
        **kwargs: Arguments of mmpose's ``CocoMetric``.

    Raises:
        FileNotFoundError: ``ann_file`` does not exist.
        ValueError: An annotation has no ``bbox``, no ``keypoints``, or no ``num_keypoints`` with ``iou_type``
            'keypoints_crowd'. With ``use_area``, an annotation has no ``area`` or one that is not a number of pixels,
            or all objects with labelled keypoints have area 0. If only some have area 0, a warning gives their number:
            they count as missed, whatever the model predicts.
    """

    def __init__(self, **kwargs):
        if file := kwargs.get('ann_file'):
            check_exists(file)
        super().__init__(**kwargs)
        self._check_annotations(self.ann_file)

    @CocoMetric.dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict):
        """Set the meta information of the data set, and use its annotation file unless the metric has one."""
        CocoMetric.dataset_meta.fset(self, dataset_meta)
        # mmpose's data sets store the name of their file here.
        name = f'{dataset_meta.get("dataset_name")}_ann_file'
        self._check_annotations(self.ann_file or MessageHub.get_current_instance().get_info(name))

    def _check_annotations(self, file):
        if self.coco is None or self.format_only:
            return
        needed = NEEDED | (dict(area=AREA) if self.use_area else {})
        if self.iou_type == 'keypoints_crowd':
            needed |= dict(num_keypoints=NUM_KEYPOINTS)
        for annotation in self.coco.anns.values():
            if missing := [name for name in needed if name not in annotation]:
                raise ValueError(
                    f'{file}: annotation {annotation["id"]} has no {missing[0]}, which CocoMetric needs. '
                    f'{needed[missing[0]]}'
                )
        if self.use_area:
            self._check_areas(file)

    def _check_areas(self, file):
        annotations = self.coco.anns.values()
        if wrong := [one for one in annotations if not is_area(one['area'])]:
            raise ValueError(
                f'{file}: annotation {wrong[0]["id"]} has the area {brief(wrong[0]["area"])}, expected a number of '
                f'pixels. {AREA}'
            )
        labelled = [one for one in annotations if _has_keypoints(one)]
        if empty := [one for one in labelled if not one['area']]:
            problem = (
                f'{file}: {len(empty)} of the {len(labelled)} objects with labelled keypoints have the area 0, the '
                f'first is annotation {empty[0]["id"]}, and count as missed, whatever the model predicts. {AREA}'
            )
            if len(empty) == len(labelled):
                raise ValueError(problem)
            warnings.warn(problem, stacklevel=2)


def _has_keypoints(annotation):
    return not annotation.get('iscrowd') and any(annotation['keypoints'][2::3])
