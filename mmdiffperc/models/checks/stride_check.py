"""Tell a detector's wrong strides while it is built: anchors and regions would lie beside their features in silence.

How the moment is found, see :mod:`mmdiffperc.models.checks.channel_check`.
"""

from collections.abc import Sequence

from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from mmdiffperc.models.backbones import DiffusionUNet
from mmdiffperc.models.necks import FinerLevelNeck

ADVICE = (
    'DiffusionUNet has strides {}: choose the start_level of the neck by them, or put a FinerLevelNeck before it for '
    'stride 4, or set the strides of the head'
)


def strides_behind(neck: nn.Module | None, strides: Sequence[int]) -> list[int] | None:
    """Return the strides of the features that a neck returns, or None for one that is not known.

    Args:
        neck (nn.Module, optional): A :class:`.FinerLevelNeck`, an FPN of a host, a sequence of them, or none.
        strides (Sequence[int]): Those of the features it gets.
    """
    if neck is None:
        return list(strides)
    if isinstance(neck, FinerLevelNeck):
        return [strides[0] // 2, *strides]
    if isinstance(neck, nn.Sequential):
        for part in neck:
            strides = strides and strides_behind(part, strides)
        return strides
    if not all(hasattr(neck, name) for name in ('start_level', 'backbone_end_level', 'num_outs')):
        return None
    found = list(strides[neck.start_level : neck.backbone_end_level])
    while len(found) < neck.num_outs:
        found.append(2 * found[-1])
    return found


def check_strides(model: nn.Module, name: str, part: nn.Module | None):
    """Compare the strides that a detector's head is told with those of the features it gets.

    Args:
        model (nn.Module): The detector that the head becomes a part of.
        name (str): The head's name in it.
        part (nn.Module): The head.

    Raises:
        ValueError: They differ.
    """
    backbone = model._modules.get('backbone')
    if name not in ('bbox_head', 'rpn_head', 'roi_head') or not isinstance(backbone, DiffusionUNet):
        return
    strides = strides_behind(model._modules.get('neck'), backbone.out_strides)
    for what, told in _told_strides(part).items():
        if strides is not None and told != strides[: len(told)]:
            raise ValueError(
                f'{name} {type(part).__name__}: {what} has strides {told}, but the features it gets have {strides}. '
                + ADVICE.format(list(backbone.out_strides))
            )


def _told_strides(head: nn.Module) -> dict[str, list[int]]:
    """Return the strides of a head's anchors or points, and of its RoI extractors."""
    told = {}
    if generator := getattr(head, 'prior_generator', None):
        told[type(generator).__name__] = [max(stride) for stride in generator.strides]
    for extractor in head.modules():
        if strides := getattr(extractor, 'featmap_strides', None):
            told[type(extractor).__name__] = list(strides)
    return told


register_module_module_registration_hook(check_strides)
