"""Check the annotations that mmpose's ``CocoMetric`` evaluates before the training starts.

mmpose 1.3.2 raises a ``KeyError`` at the end of the first validation if an annotation lacks a field, and counts every
person with the area 0 as missed. Here the annotations are checked when the metric is built with an ``ann_file``, or
else when it receives the meta information of the data set. Subclasses that evaluate differently, such as
``CocoWholeBodyMetric``, are left alone.

The core must not import mmpose, so ``mmdiffperc.pose.checked_coco_metric`` installs this.

Delete when mmpose checks the annotations before the training.
"""

import warnings
from functools import wraps
from typing import Any

from mmengine.logging import MessageHub

from mmdiffperc.coco import check_exists, is_area
from mmdiffperc.files import brief

# What the evaluation reads of every annotation, and what to do where it is missing.
NEEDED = dict(
    bbox='Add the boxes',
    keypoints='Leave out objects without keypoints, or give them [0, 0, 0] for each',
)
AREA = 'Set use_area=False in the metric, which then uses 0.53 of the area of the box; or add the areas of the objects'
NUM_KEYPOINTS = "Add the number of labelled keypoints, or set iou_type='keypoints'"


def check_annotations(metric: Any, file: str):
    """Check the annotations that a metric has read.

    Args:
        metric (CocoMetric): mmpose's metric.
        file (str): The annotation file, for messages.

    Raises:
        ValueError: An annotation has no ``bbox``, no ``keypoints``, or no ``num_keypoints`` with ``iou_type``
            'keypoints_crowd'. With ``use_area``, an annotation has no ``area`` or one that is not a number of pixels,
            or all objects with labelled keypoints have area 0. If only some have area 0, a warning gives their number.
    """
    needed = NEEDED | (dict(area=AREA) if metric.use_area else {})
    if metric.iou_type == 'keypoints_crowd':
        needed |= dict(num_keypoints=NUM_KEYPOINTS)
    annotations = metric.coco.anns.values()
    for annotation in annotations:
        if missing := [name for name in needed if name not in annotation]:
            raise ValueError(
                f'{file}: annotation {annotation["id"]} has no {missing[0]}, which CocoMetric needs. '
                f'{needed[missing[0]]}'
            )
    if metric.use_area:
        _check_areas(annotations, file)


def _check_areas(annotations, file):
    if wrong := [one for one in annotations if not is_area(one['area'])]:
        raise ValueError(
            f'{file}: annotation {wrong[0]["id"]} has the area {brief(wrong[0]["area"])}, expected a number of '
            f'pixels. {AREA}'
        )
    labelled = [one for one in annotations if not one.get('iscrowd') and any(one['keypoints'][2::3])]
    if empty := [one for one in labelled if not one['area']]:
        problem = (
            f'{file}: {len(empty)} of the {len(labelled)} objects with labelled keypoints have the area 0, the first '
            f'is annotation {empty[0]["id"]}. They count as missed, whatever the model predicts. {AREA}'
        )
        if len(empty) == len(labelled):
            raise ValueError(problem)
        warnings.warn(problem, stacklevel=2)


def install() -> None:
    """Make every ``CocoMetric`` check its annotations."""
    from mmpose.evaluation.metrics import CocoMetric  # a dependency of the hosts, not of the core

    initialise, set_meta = CocoMetric.__init__, CocoMetric.dataset_meta.fset
    evaluate = CocoMetric._do_python_keypoint_eval

    def check(metric, file):
        if metric.coco and not metric.format_only and type(metric)._do_python_keypoint_eval is evaluate:
            check_annotations(metric, file)

    @wraps(initialise)
    def initialise_checked(metric, ann_file=None, *args, **kwargs):
        if ann_file:
            check_exists(ann_file)
        initialise(metric, ann_file, *args, **kwargs)
        check(metric, ann_file)

    @wraps(set_meta)
    def set_meta_checked(metric, dataset_meta):
        set_meta(metric, dataset_meta)
        # mmpose's data sets store the name of their file here.
        name = f'{dataset_meta.get("dataset_name")}_ann_file'
        check(metric, metric.ann_file or MessageHub.get_current_instance().get_info(name))

    CocoMetric.__init__ = initialise_checked
    CocoMetric.dataset_meta = CocoMetric.dataset_meta.setter(set_meta_checked)
