"""Data transforms."""

import numpy as np
from mmcv.transforms import BaseTransform
from mmseg.registry import TRANSFORMS

from mmdiffperc.validation import Label, PositiveInt, validated


@TRANSFORMS.register_module()
@validated
class CheckLabels(BaseTransform):
    """Refuse a segmentation map with labels that no class has.

    Without it such a map is an index out of range inside the loss, or a device-side assertion that names nothing; and
    in evaluation a wrong mIoU without any error.

    Required keys: none. Without ``gt_seg_map``, as when a test pipeline runs on one's own image, it does nothing. For
    the message, ``seg_map_path``.

    Args:
        num_classes (int): Labels are 0 to ``num_classes - 1``.
        ignore_index (int): The one other label allowed. Defaults to 255.

    Raises:
        ValueError: Another label occurs; the message names the file and the labels.
    """

    def __init__(self, num_classes: PositiveInt, ignore_index: Label = 255):
        self.num_classes = num_classes
        self.ignore_index = ignore_index

    def transform(self, results: dict) -> dict:
        """Return ``results`` unchanged."""
        if 'gt_seg_map' not in results:
            return results
        labels = np.unique(results['gt_seg_map'])
        beyond = labels[((labels < 0) | (labels >= self.num_classes)) & (labels != self.ignore_index)]
        if len(beyond):
            raise ValueError(
                f'{results.get("seg_map_path")}: labels {beyond.tolist()[:10]}, but there are {self.num_classes} '
                f'classes (0 to {self.num_classes - 1}; {self.ignore_index} is ignored). Check num_classes and '
                "reduce_zero_label, or map the labels with the dataset's metainfo"
            )
        return results
