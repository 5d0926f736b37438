"""Tell while the model is built that the prompts name other classes than the head predicts.

How the moment is found, see :mod:`mmdiffperc.models.checks.channel_check`.
"""

import logging

from mmengine.logging import print_log
from torch import nn
from torch.nn.modules.module import register_module_module_registration_hook

from mmdiffperc.models.backbones import DiffusionUNet

HEADS = ('decode_head', 'bbox_head', 'roi_head')
SEG_HEADS = ('decode_head', 'auxiliary_head')


def check_num_classes(model: nn.Module, name: str, part: nn.Module | None):
    """Warn if the number of classes that a head predicts is not that of the backbone's class prompts.

    It is no error, because the prompts may name what else is in the images.

    Args:
        model (nn.Module): The detector or segmentor that the head becomes a part of.
        name (str): The head's name in it.
        part (nn.Module): The head.

    Raises:
        ValueError: The head predicts no class at all.
    """
    if name not in HEADS or not isinstance(model._modules.get('backbone'), DiffusionUNet):
        return
    found = next((module.num_classes for module in part.modules() if hasattr(module, 'num_classes')), None)
    if isinstance(found, int) and found < 1:
        raise ValueError(f'{name} {type(part).__name__} has num_classes={found}: expected 1 or more')
    prompts = model._modules['backbone'].prompts
    if not prompts.class_names:
        return
    if found not in (None, prompts.num_prompts):
        print_log(
            f'The prompts of {DiffusionUNet.__name__} name {prompts.num_prompts} classes, but {name} '
            f'{type(part).__name__} predicts {found}: set both to those of the data set, unless that is meant. The '
            f'prompts are of {_shortened(prompts.class_names)}',
            logger='current',
            level=logging.WARNING,
        )


def _shortened(classes: tuple[str, ...], shown: int = 3) -> str:
    return ', '.join(map(repr, classes[:shown])) + (', ...' if len(classes) > shown else '')


def check_single_channel(model: nn.Module, name: str, part: nn.Module | None):
    """Refuse a head of mmseg that learns one class by a softmax.

    The softmax of a single channel is 1 everywhere: the loss is always 0, and nothing is learnt.

    Args:
        model (nn.Module): The segmentor that the head becomes a part of.
        name (str): The head's name in it.
        part (nn.Module): The head.

    Raises:
        ValueError: The head is one of these. The message gives the two ways out.
    """
    if name not in SEG_HEADS or not isinstance(model._modules.get('backbone'), DiffusionUNet):
        return
    for head in part if isinstance(part, nn.ModuleList) else [part]:
        decoding = getattr(head, 'loss_decode', nn.Module())
        losses = [loss for loss in decoding.modules() if getattr(loss, 'use_sigmoid', None) is False]
        if losses and getattr(head, 'out_channels', None) == 1:
            raise ValueError(
                f'{name} {type(head).__name__} has one channel, and {type(losses[0]).__name__} with use_sigmoid=False '
                'takes its softmax, which is 1 everywhere. List the background as a class, too, or set num_classes=2 '
                'and out_channels=1 of the head, and use_sigmoid=True of its loss'
            )


register_module_module_registration_hook(check_num_classes)
register_module_module_registration_hook(check_single_channel)
