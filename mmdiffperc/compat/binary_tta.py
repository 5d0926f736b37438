"""Merges the views of a binary segmentor, of which mmseg's ``SegTTAModel`` would make foreground everywhere.

A head with ``out_channels=1`` predicts one logit, of which ``BaseSegmentor.postprocess_result`` takes the sigmoid
(``mmseg/models/segmentors/base.py:190``). ``SegTTAModel.merge_preds`` takes the sigmoid again (``seg_tta.py:34``), and
the sigmoid of a probability is at least 0.5.

mmseg is not imported here, because the core needs no host: a model is mended when it is put into a ``SegTTAModel``.

Delete when mmseg, 1.2.2 today, averages the probabilities of a binary head as they are.
"""

import sys
from collections.abc import Sequence
from types import MethodType

from mmengine.model import BaseTTAModel
from mmengine.structures import BaseDataElement, PixelData
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

SEG_TTA = 'mmseg.models.segmentors.seg_tta'


def merge_probabilities(
    model: BaseTTAModel, data_samples_list: Sequence[Sequence[BaseDataElement]]
) -> list[BaseDataElement]:
    """Average the probabilities of foreground, in place of ``SegTTAModel.merge_preds``.

    Args:
        model (BaseTTAModel): Has the segmentor as ``module``.
        data_samples_list (Sequence[Sequence[SegDataSample]]): For each image its views, with the probability
            ``(1, H, W)`` as ``seg_logits``.

    Returns:
        list[SegDataSample]: For each image its first view, with the mask ``(1, H, W)`` that the mean gives.
    """
    merged = []
    for views in data_samples_list:
        probability = sum(view.seg_logits.data for view in views) / len(views)  # (1, H, W)
        mask = (probability > model.module.decode_head.threshold).to(probability)
        views[0].set_data(dict(pred_sem_seg=PixelData(data=mask)))
        merged.append(views[0])
    return merged


def mend(model: nn.Module, name: str, segmentor: nn.Module | None):
    """Replace how a ``SegTTAModel`` merges views, when it gets a binary segmentor.

    Args:
        model (nn.Module): Any module that gets a submodule.
        name (str): Name of the submodule.
        segmentor (nn.Module, optional): The submodule.
    """
    if name == 'module' and getattr(segmentor, 'out_channels', None) == 1 and _merges_as_mmseg_does(model):
        model.merge_preds = MethodType(merge_probabilities, model)


def _merges_as_mmseg_does(model):
    stock = getattr(sys.modules.get(SEG_TTA), 'SegTTAModel', None)
    return stock is not None and getattr(type(model), 'merge_preds', None) is stock.merge_preds


def install() -> None:
    """Watch for models that are put into a ``SegTTAModel``."""
    register_module_module_registration_hook(mend)
