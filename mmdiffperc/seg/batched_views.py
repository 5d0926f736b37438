"""Test-time augmentation with several views in a batch."""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

from mmengine.model import BaseTTAModel
from mmseg.models import SegTTAModel
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from mmdiffperc.validation import PositiveInt, validated


class BatchedViews(BaseTTAModel):
    """mmengine's model for test-time augmentation, which predicts several views of equal size at a time.

    mmengine predicts one view after the other. Here, views of the same size form batches of at most ``view_batch``:
    those of one image, such as an image and its mirror image, and those of several images. The result is the same up
    to rounding.

    Args:
        module (dict | nn.Module): The segmentor.
        view_batch (int): Largest number of views in a batch. Defaults to 8.
        **kwargs: Arguments of mmengine's ``BaseTTAModel``.
    """

    def __init__(self, module: dict | nn.Module, view_batch: PositiveInt = 8, **kwargs):
        super().__init__(module, **kwargs)
        self.view_batch = view_batch

    def test_step(self, data: dict[str, Sequence[Sequence[Any]]]) -> list[SegDataSample]:
        """Predict and merge the views of images.

        Args:
            data (dict): ``inputs``, a list with the images ``(3, H, W)`` of each view, and ``data_samples``, of the
                same structure.

        Returns:
            list[SegDataSample]: The merged prediction of each image.
        """
        images, samples = (sum(map(list, data[name]), []) for name in ('inputs', 'data_samples'))
        predictions = [None] * len(images)
        by_size = sorted(range(len(images)), key=lambda index: images[index].shape)
        for _, group in groupby(by_size, key=lambda index: images[index].shape):
            group = list(group)
            for start in range(0, len(group), self.view_batch):
                batch = group[start : start + self.view_batch]
                inputs = dict(inputs=[images[i] for i in batch], data_samples=[samples[i] for i in batch])
                for index, prediction in zip(batch, self.module.test_step(inputs), strict=True):
                    predictions[index] = prediction
        number = len(data['inputs'][0])
        return self.merge_preds([predictions[index::number] for index in range(number)])


@MODELS.register_module()
@validated
class BatchedSegTTAModel(BatchedViews, SegTTAModel):
    """mmseg's ``SegTTAModel``, which predicts several views of equal size at a time, see :class:`.BatchedViews`.

    Args:
        module (dict | nn.Module): The segmentor.
        view_batch (int): Largest number of views in a batch. Defaults to 8.
        **kwargs: Arguments of mmengine's ``BaseTTAModel``.
    """

    def __init__(self, module: dict | nn.Module, view_batch: PositiveInt = 8, **kwargs):
        super().__init__(module, view_batch, **kwargs)
