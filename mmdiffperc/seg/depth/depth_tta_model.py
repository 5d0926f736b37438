"""Test-time augmentation for depth."""

from collections.abc import Sequence

import torch
from mmengine.structures import PixelData
from mmseg.registry import MODELS
from mmseg.structures import SegDataSample
from torch import nn

from mmdiffperc.seg.batched_views import BatchedViews
from mmdiffperc.validation import PositiveInt, validated


@MODELS.register_module()
@validated
class DepthTTAModel(BatchedViews):
    """Average the depth maps that an estimator predicts for flipped and scaled views of an image.

    mmseg's ``SegTTAModel`` merges class scores, which depth does not have. The estimator has already flipped every
    prediction back and resized it to the original image, so the views are aligned. They are averaged in metres, as in
    ``slide_flip``. Where some views have no depth, which is NaN (see :meth:`DiffusionDepthEstimator.shift_inference`),
    only the others are averaged.

    Args:
        module (dict | nn.Module): The depth estimator.
        view_batch (int): Largest number of views of equal size in a batch, see :class:`.BatchedViews`. Defaults to 8.
        **kwargs: Arguments of mmengine's ``BaseTTAModel``.
    """

    def __init__(self, module: dict | nn.Module, view_batch: PositiveInt = 8, **kwargs):
        super().__init__(module, view_batch, **kwargs)

    def merge_preds(self, data_samples_list: Sequence[Sequence[SegDataSample]]) -> list[SegDataSample]:
        """Merge the views of every image.

        Args:
            data_samples_list (Sequence[Sequence[SegDataSample]]): For each image its views, with ``pred_depth_map``
                ``(1, H, W)`` in metres.

        Returns:
            list[SegDataSample]: For each image its first view, with the mean depth.
        """
        for views in data_samples_list:
            depth = torch.stack([view.pred_depth_map.data for view in views]).nanmean(dim=0)  # (1, H, W)
            views[0].set_data(dict(pred_depth_map=PixelData(data=depth)))
        return [views[0] for views in data_samples_list]
