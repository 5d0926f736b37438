"""Pictures of predictions at the input size of the network."""

import mmcv
import numpy as np
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer


@VISUALIZERS.register_module()
class InputSizeVisualizer(SegLocalVisualizer):
    """mmseg's visualizer for :class:`.EvaluateAtInputSize`, which keeps prediction and truth at the input size.

    It resizes the image in the file to their size. The arguments are those of mmseg's ``SegLocalVisualizer``.
    """

    def add_datasample(self, name: str, image: np.ndarray, data_sample: SegDataSample | None = None, **kwargs):
        """Draw truth and prediction on an image ``(H, W, 3)``; the arguments are those of mmseg's visualizer."""
        for key in ('gt_sem_seg', 'pred_sem_seg'):
            if key in (data_sample or ()):
                height, width = data_sample.get(key).shape
                image = mmcv.imresize(image, (width, height))
        super().add_datasample(name, image, data_sample=data_sample, **kwargs)
