"""Evaluation of segmentation that is predicted as an image of colours."""

from collections.abc import Sequence
from typing import Annotated

import numpy as np
import torch
from mmengine.evaluator import BaseMetric

from mmdiffperc.evaluation.masks import class_measures, confusion_matrix
from mmdiffperc.registry import METRICS
from mmdiffperc.validation import Expected, Label, Listed, NonNegativeInt, validated

from .class_colours import Palette, colours_to_classes, resolve_palette

Classes = Annotated[Listed[NonNegativeInt], Expected('a list of classes, whole numbers of 0 or more')]


@METRICS.register_module()
@validated
class ColouredSegMetric(BaseMetric):
    """mIoU of predicted colours, each pixel of which takes the class whose colour is nearest.

    ``aAcc``: share of pixels that are right. ``mIoU`` and ``mAcc``: means over classes, computed from the pixels of all
    images; a class that is neither predicted nor true is left out. All in per cent, as in mmseg's ``IoUMetric``.

    Args:
        palette (str | Sequence): See :func:`.resolve_palette`.
        classes (Sequence[int], optional): See :func:`.colours_to_classes`.
        ignore_index (int): Label of true pixels that do not count. Defaults to 255.
        per_class (bool): Report IoU and accuracy of each class as well. Defaults to False.
        **kwargs: Arguments of mmengine's ``BaseMetric``.

    Raises:
        ValueError: When building: an unknown palette, or classes it does not have. When evaluating: prediction and
            truth differ in size, or the truth has classes that the palette does not have.
    """

    def __init__(
        self,
        palette: Palette,
        classes: Classes | None = None,
        ignore_index: Label = 255,
        per_class: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.palette = resolve_palette(palette)
        self.classes = classes
        if missing := [index for index in classes or () if not 0 <= index < len(self.palette)]:
            raise ValueError(f'classes {missing}: the palette has classes 0 to {len(self.palette) - 1}')
        self.ignore_index = ignore_index
        self.per_class = per_class

    def process(self, data_batch: dict, data_samples: Sequence[dict]):
        """Count the pixels of one batch.

        Args:
            data_batch (dict): Not used.
            data_samples (Sequence[dict]): With ``pred_target``, colours ``(3, H, W)`` in [0, 1]; and the true classes
                ``gt_sem_seg`` ``(1, H, W)``, or else colours of these, ``gt_target``.
        """
        self.results += [self._confuse(sample) for sample in data_samples]

    def compute_metrics(self, results: list[np.ndarray]) -> dict[str, float]:
        """Compute the measures from confusion matrices ``(true, predicted)``."""
        return class_measures(sum(results), self.per_class)

    def _confuse(self, sample: dict) -> np.ndarray:
        pred = self._classes_of(sample['pred_target']['data'], self.classes)
        if 'gt_sem_seg' in sample:
            truth = sample['gt_sem_seg']['data'].squeeze(0).long().cpu().numpy()
        else:
            truth = self._classes_of(sample['gt_target']['data'])
        if pred.shape != truth.shape:
            raise ValueError(
                f'{sample.get("img_path")}: the prediction is {pred.shape}, the truth {truth.shape} (height, width). '
                'The prediction has the size that the image has when it is loaded: load the truth after Resize'
            )
        counts = truth != self.ignore_index
        num = len(self.palette)
        if unknown := sorted(set(np.unique(truth[counts]).tolist()) - set(range(num))):
            raise ValueError(
                f'{sample.get("img_path")}: the palette has classes 0 to {num - 1}, but the truth has {unknown}: check '
                f'reduce_zero_label, or whether they are the label to ignore (ignore_index={self.ignore_index})'
            )
        return confusion_matrix(pred[counts], truth[counts], num)

    def _classes_of(self, colours: torch.Tensor, classes: Sequence[int] | None = None) -> np.ndarray:
        image = (colours.double() * 255).round().byte().permute(1, 2, 0).cpu().numpy()
        return colours_to_classes(image, self.palette, classes)
