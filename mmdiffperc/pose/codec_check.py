"""Refuse codec sizes that do not fit the model while the model is built instead of in the first loss."""

from mmpose.models.heads import HeatmapHead
from torch import nn

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.checks.dispatcher import model_check

from .meta_prompts_heatmap_neck import MetaPromptsHeatmapNeck


@model_check
def check_heatmap_head(model: nn.Module, name: str, part: nn.Module | None):
    """Compare a heatmap head, which mmpose adds last, and the sizes in its codec with the backbone and the neck.

    Raises:
        ValueError: ``in_channels`` of the head, or ``input_size`` or ``heatmap_size`` of its codec, is wrong; the
            message gives the right value.
    """
    backbone, neck = model._modules.get('backbone'), model._modules.get('neck')
    if (
        name == 'head'
        and isinstance(backbone, DiffusionUNet)
        and isinstance(neck, MetaPromptsHeatmapNeck)
        and isinstance(part, HeatmapHead)
    ):
        _check_in_channels(part, neck)
        if part.decoder is not None:
            finest = backbone.out_strides[0]
            _check_input_size(part.decoder, finest)
            _check_heatmap_size(part, finest // 2)  # the neck doubles the size


def _check_in_channels(head, neck):
    (wanted,) = neck.out_channels
    if head.in_channels != wanted:
        raise ValueError(
            f'head {type(head).__name__} has in_channels={head.in_channels}, but the feature from '
            f'{type(neck).__name__} has {wanted} channels: set in_channels={wanted}'
        )


def _check_input_size(codec, stride):
    # Any other side would be padded, and the heatmap would cover a larger area than the codec assumes.
    if any(side % stride for side in codec.input_size):
        nearest = tuple(max(1, round(side / stride)) * stride for side in codec.input_size)
        raise ValueError(
            f'codec {type(codec).__name__} has input_size={tuple(codec.input_size)} (width, height): both must be '
            f'multiples of {stride}, the stride of the finest feature; {nearest} is the nearest such size'
        )


def _check_heatmap_size(head, stride):
    num_deconvs = sum(isinstance(layer, nn.ConvTranspose2d) for layer in head.deconv_layers.modules())
    wanted = tuple(side * 2**num_deconvs // stride for side in head.decoder.input_size)
    if tuple(head.decoder.heatmap_size) != wanted:
        raise ValueError(
            f'codec {type(head.decoder).__name__} has heatmap_size={tuple(head.decoder.heatmap_size)} (width, height), '
            f'but with input_size={tuple(head.decoder.input_size)} the heatmaps have size {wanted}: '
            f'set heatmap_size={wanted}'
        )
