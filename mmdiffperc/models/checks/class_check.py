"""Compare the classes of the prompts and of the heads while the model is built."""

from mmengine.logging import MMLogger
from torch import nn

from mmdiffperc.files import quoted
from mmdiffperc.models.backbones import DiffusionUNet

from .dispatcher import model_check

HEADS = ('decode_head', 'bbox_head', 'roi_head')
SEG_HEADS = ('decode_head', 'auxiliary_head')


@model_check
def check_num_classes(model: nn.Module, name: str, part: nn.Module | None):
    """Warn if the number of classes that a head predicts differs from the number that the backbone's prompts name.

    It is not an error, because the prompts may also name other things in the images.

    Raises:
        ValueError: The head predicts no class.
    """
    if name not in HEADS or not isinstance(model._modules.get('backbone'), DiffusionUNet):
        return
    found = next((module.num_classes for module in part.modules() if hasattr(module, 'num_classes')), None)
    if isinstance(found, int) and found < 1:
        raise ValueError(f'{name} {type(part).__name__} has num_classes={found}: expected 1 or more')
    prompts = model._modules['backbone'].prompts
    if prompts.class_names and found not in (None, prompts.num_prompts):
        MMLogger.get_current_instance().warning(
            f'The prompts of {DiffusionUNet.__name__} name {prompts.num_prompts} classes, but {name} '
            f'{type(part).__name__} predicts {found}: set both to the classes of the data set, unless this is '
            f'intended. The prompts name {quoted(prompts.class_names, 3)}'
        )


@model_check
def check_single_channel(model: nn.Module, name: str, part: nn.Module | None):
    """Refuse a head of mmseg with one output channel and a softmax loss.

    The softmax of a single channel is 1 everywhere, so the loss is always 0 and the head learns nothing.

    Raises:
        ValueError: The head has one channel and such a loss. The message gives two ways to correct it.
    """
    if name not in SEG_HEADS or not isinstance(model._modules.get('backbone'), DiffusionUNet):
        return
    for head in part if isinstance(part, nn.ModuleList) else [part]:
        decoding = getattr(head, 'loss_decode', nn.Module())
        losses = [loss for loss in decoding.modules() if getattr(loss, 'use_sigmoid', None) is False]
        if losses and getattr(head, 'out_channels', None) == 1:
            raise ValueError(
                f'{name} {type(head).__name__} has one channel, and {type(losses[0]).__name__} with use_sigmoid=False '
                'applies the softmax to it, which is 1 everywhere. Either list the background as a class, or set '
                'num_classes=2 and out_channels=1 for the head and use_sigmoid=True for its loss'
            )
