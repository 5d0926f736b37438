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
    if name != 'head' or not isinstance(backbone, DiffusionUNet) or not isinstance(part, HeatmapHead):
        return
    if isinstance(neck, MetaPromptsHeatmapNeck):
        feeder, needed, stride = neck, backbone.out_strides[0], backbone.out_strides[0] // 2  # it doubles the size
    elif neck is None:
        feeder, needed, stride = backbone, backbone.out_strides[-1], backbone.out_strides[-1]
    else:
        return
    _check_in_channels(part, feeder)
    if part.decoder is not None:
        _check_input_size(part.decoder, needed)
        _check_heatmap_size(part, stride)


def _check_in_channels(head, feeder):
    wanted = feeder.out_channels[-1]  # of the last feature, which the head reads
    if head.in_channels != wanted:
        raise ValueError(
            f'head {type(head).__name__} has in_channels={head.in_channels}, but the feature from '
            f'{type(feeder).__name__} has {wanted} channels: set in_channels={wanted}'
        )


def _check_input_size(codec, stride):
    # Any other side would be padded, and the heatmap would cover a larger area than the codec assumes.
    if any(side % stride for side in codec.input_size):
        nearest = tuple(max(1, round(side / stride)) * stride for side in codec.input_size)
        raise ValueError(
            f'codec {type(codec).__name__} has input_size={tuple(codec.input_size)} (width, height): both must be '
            f'multiples of {stride}, the stride of the feature; {nearest} is the nearest such size'
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
