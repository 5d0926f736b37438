"""Refuse wrong strides of a detector while it is built; they would silently misplace its anchors and regions."""

from collections.abc import Sequence

from torch import nn

from mmdiffperc.models.backbones import DiffusionUNet
from mmdiffperc.models.necks import FinerLevelNeck

from .dispatcher import model_check

ADVICE = (
    'DiffusionUNet has strides {}: choose start_level of the neck accordingly, put a FinerLevelNeck before it to get '
    'stride 4, or change the strides of the head'
)


def strides_behind(neck: nn.Module | None, strides: Sequence[int]) -> list[int] | None:
    """Return the strides of the features that a neck returns, or None for an unknown neck.

    Args:
        neck (nn.Module, optional): A :class:`.FinerLevelNeck`, a host's FPN, or a sequence of them. Default: no neck.
        strides (Sequence[int]): Strides of the neck's inputs.
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


@model_check
def check_strides(model: nn.Module, name: str, part: nn.Module | None):
    """Refuse a detector's head whose configured strides differ from the strides of its features.

    Raises:
        ValueError: They differ.
    """
    backbone = model._modules.get('backbone')
    if name not in ('bbox_head', 'rpn_head', 'roi_head') or not isinstance(backbone, DiffusionUNet):
        return
    strides = strides_behind(model._modules.get('neck'), backbone.out_strides)
    for what, given in _given_strides(part).items():
        if strides is not None and given != strides[: len(given)]:
            raise ValueError(
                f'{name} {type(part).__name__}: {what} has strides {given}, but its features have {strides}. '
                + ADVICE.format(list(backbone.out_strides))
            )


def _given_strides(head: nn.Module) -> dict[str, list[int]]:
    """Return the strides of a head's anchors or points, and of its RoI extractors."""
    given = {}
    if generator := getattr(head, 'prior_generator', None):
        given[type(generator).__name__] = [max(stride) for stride in generator.strides]
    for extractor in head.modules():
        if strides := getattr(extractor, 'featmap_strides', None):
            given[type(extractor).__name__] = list(strides)
    return given
