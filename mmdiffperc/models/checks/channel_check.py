"""Refuse a wrong ``in_channels`` or ``num_prompts`` while the model is built instead of at the first iteration."""

from torch import nn

from mmdiffperc.models.backbones import DiffusionUNet
from mmdiffperc.models.necks import FinerLevelNeck, MetaPromptsDepthNeck, MetaPromptsNeck

from .dispatcher import model_check

HEADS = ('decode_head', 'auxiliary_head')
CONSUMERS = ('neck', *HEADS)


@model_check
def check_in_channels(model: nn.Module, name: str, part: nn.Module | None):
    """Refuse a neck or head whose ``in_channels`` differ from the ``out_channels`` of the module that feeds it.

    In a sequence of necks, the first one receives the features of the backbone.

    Raises:
        ValueError: They differ, or ``in_index`` names a feature that does not exist; the message gives the right value.
    """
    feeder = _feeder(model, name)
    if feeder is None or part is None:
        return
    consumer = next(iter(part)) if isinstance(part, nn.Sequential) and len(part) else part
    given = getattr(consumer, 'in_channels', None)
    wanted = _wanted(consumer, given, feeder)
    if wanted is not None and given != wanted:
        where = 'neck' if isinstance(model, nn.Sequential) else name
        raise ValueError(
            f'{where} {type(consumer).__name__} has in_channels={given}, but the features from '
            f'{type(feeder).__name__} have {wanted} channels: set in_channels={wanted}'
        )


def _feeder(model: nn.Module, name: str) -> nn.Module | None:
    """Return the module that feeds the part with this name, if its channels are known."""
    if isinstance(model, nn.Sequential):
        last = next(reversed(model._modules.values()), None)
        return last if isinstance(last, FinerLevelNeck) else None
    backbone, neck = model._modules.get('backbone'), model._modules.get('neck')
    if name not in CONSUMERS or not isinstance(backbone, DiffusionUNet):
        return None
    if neck is None:
        return backbone
    return neck if name in HEADS and isinstance(getattr(neck, 'out_channels', None), (int, tuple)) else None


def _wanted(consumer: nn.Module, given, feeder: nn.Module) -> int | list[int] | None:
    """Return the correct ``in_channels``: of all levels for a neck, of the levels in ``in_index`` for a head."""
    out_channels = feeder.out_channels
    if isinstance(out_channels, int):  # of each of the features that a host's neck returns
        out_channels = (out_channels,) * getattr(feeder, 'num_outs', 1)
    in_index = getattr(consumer, 'in_index', None)
    if in_index is None:
        return type(given)(out_channels) if isinstance(given, (list, tuple)) else None
    indices = [in_index] if isinstance(in_index, int) else in_index
    number = len(out_channels)
    if any(index not in range(-number, number) for index in indices):
        raise ValueError(
            f'{type(consumer).__name__} has in_index={in_index}, but {type(feeder).__name__} returns {number} '
            f'features: choose from 0 to {number - 1}, or add the level to out_indices of the backbone'
        )
    selected = [out_channels[index] for index in indices]
    return type(given)(selected) if isinstance(given, (list, tuple)) else sum(selected)


@model_check
def check_prompts(model: nn.Module, name: str, part: nn.Module | None):
    """Refuse a MetaPrompts neck that expects other prompts than its backbone returns.

    Raises:
        ValueError: The backbone does not return its prompts, or their number or width differs.
    """
    backbone = model._modules.get('backbone')
    if not isinstance(part, (MetaPromptsNeck, MetaPromptsDepthNeck)) or not isinstance(backbone, DiffusionUNet):
        return
    if not backbone.out_prompts:
        raise ValueError(
            f'{name} {type(part).__name__} needs the prompts of DiffusionUNet: set out_prompts=True in the backbone'
        )
    available = dict(num_prompts=backbone.prompts.num_prompts, embed_dims=backbone.unet.config.cross_attention_dim)
    for argument, wanted in available.items():
        if (given := getattr(part, argument)) != wanted:
            raise ValueError(
                f'{name} {type(part).__name__} has {argument}={given}, but the prompts of DiffusionUNet have {wanted}: '
                f'set {argument}={wanted}'
            )
