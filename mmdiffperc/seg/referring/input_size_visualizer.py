"""Pictures of what is predicted at the size that the network sees."""

import mmcv
import numpy as np
from mmseg.registry import VISUALIZERS
from mmseg.structures import SegDataSample
from mmseg.visualization import SegLocalVisualizer


@VISUALIZERS.register_module()
class InputSizeVisualizer(SegLocalVisualizer):
    """mmseg's visualizer, where :class:`.EvaluateAtInputSize` keeps prediction and truth at the size of the input.

    It is given the image as it lies in the file, and resizes it to them. Arguments are those of mmseg's
    ``SegLocalVisualizer``.
    """

    def add_datasample(self, name: str, image: np.ndarray, data_sample: SegDataSample | None = None, **kwargs):
        """Draw truth and prediction on an image ``(H, W, 3)``; arguments as of mmseg's."""
        for key in ('gt_sem_seg', 'pred_sem_seg'):
            if key in (data_sample or ()):
                height, width = data_sample.get(key).shape
                image = mmcv.imresize(image, (width, height))
        super().add_datasample(name, image, data_sample=data_sample, **kwargs)
