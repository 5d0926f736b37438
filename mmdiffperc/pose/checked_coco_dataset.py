"""COCO person keypoints with detected boxes."""

from mmpose.datasets.datasets import CocoDataset
from mmpose.registry import DATASETS

from mmdiffperc.validation import validated

from .dataset_check import overlaps, report_outside


@DATASETS.register_module()
@validated
class CheckedCocoDataset(CocoDataset):
    """mmpose's ``CocoDataset`` without detected boxes that lie completely outside their images.

    mmpose leaves out annotated boxes outside their images, but keeps detected ones. The number of boxes left out is
    logged. The files of every ``CocoDataset`` are checked when the data set is built, see :func:`.check_pose_files`.

    Args:
        **kwargs: Arguments of mmpose's ``CocoDataset``.
    """

    def _load_detection_results(self):
        detections = super()._load_detection_results()
        usable = [one for one in detections if overlaps(one['bbox'][0], one['img_shape'])]
        report_outside(self.bbox_file, len(detections) - len(usable))
        return usable
