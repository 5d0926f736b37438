"""COCO's measures of keypoints."""

from mmpose.evaluation.metrics import CocoMetric
from mmpose.registry import METRICS

from mmdiffperc.compat import mmpose_metric
from mmdiffperc.validation import validated

mmpose_metric.install()  # first, because the class below inherits its methods


@METRICS.register_module()
@validated
class CheckedCocoMetric(CocoMetric):
    """mmpose's ``CocoMetric``, which reports unknown arguments.

    Like every ``CocoMetric``, it checks the annotations before the training starts, see :func:`.check_annotations`.

    Args:
        **kwargs: Arguments of mmpose's ``CocoMetric``.
    """
