"""Merge the test-time views of a binary segmentor; mmseg's ``SegTTAModel`` predicts foreground everywhere.

A head with ``out_channels=1`` predicts one logit, and ``BaseSegmentor.postprocess_result`` applies the sigmoid to it
(``mmseg/models/segmentors/base.py:190``). ``SegTTAModel.merge_preds`` applies the sigmoid again (``seg_tta.py:34``),
and the sigmoid of a probability is at least 0.5.

The core must not import mmseg, so ``mmdiffperc.models.checks`` calls :func:`mend` when a model is put into a
``SegTTAModel``.

Delete when mmseg (1.2.2 today) averages the probabilities of a binary head without a second sigmoid.
"""

import sys
from collections.abc import Sequence
from types import MethodType

from mmengine.model import BaseTTAModel
from mmengine.structures import BaseDataElement, PixelData
from torch import nn

SEG_TTA = 'mmseg.models.segmentors.seg_tta'


def merge_probabilities(
    model: BaseTTAModel, data_samples_list: Sequence[Sequence[BaseDataElement]]
) -> list[BaseDataElement]:
    """Average the foreground probabilities; replaces ``SegTTAModel.merge_preds``.

    Args:
        model (BaseTTAModel): Has the segmentor as ``module``.
        data_samples_list (Sequence[Sequence[SegDataSample]]): For each image its views, with the probability
            ``(1, H, W)`` as ``seg_logits``.

    Returns:
        list[SegDataSample]: For each image its first view, with the mask ``(1, H, W)`` of the averaged probability.
    """
    for views in data_samples_list:
        probability = sum(view.seg_logits.data for view in views) / len(views)  # (1, H, W)
        mask = (probability > model.module.decode_head.threshold).to(probability)
        views[0].set_data(dict(pred_sem_seg=PixelData(data=mask)))
    return [views[0] for views in data_samples_list]


def mend(model: nn.Module, name: str, segmentor: nn.Module | None):
    """Replace ``merge_preds`` of a ``SegTTAModel`` to which a binary segmentor is being added."""
    if name == 'module' and getattr(segmentor, 'out_channels', None) == 1 and _merges_as_mmseg_does(model):
        model.merge_preds = MethodType(merge_probabilities, model)


def _merges_as_mmseg_does(model):
    stock = getattr(sys.modules.get(SEG_TTA), 'SegTTAModel', None)
    return stock is not None and getattr(type(model), 'merge_preds', None) is stock.merge_preds
