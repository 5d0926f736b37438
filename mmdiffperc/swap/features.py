"""The features that the parts of a model return."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from accelerate import init_empty_weights
from mmengine.registry import MODELS, DefaultScope
from torch import nn

IMAGE_SIZE = 512  # for backbones that take any size; divisible by all strides


class Feature(NamedTuple):
    """A feature map between two parts of a model.

    Args:
        channels (int): Number of channels.
        stride (int): Pixels of the image per cell.
    """

    channels: int
    stride: int


def build_empty(config: dict, scope: str) -> nn.Module:
    """Build a part of a model on the meta device: it has shapes, but takes no memory.

    Args:
        config (dict): Its config.
        scope (str): The host that the part belongs to.
    """
    # Only parameters are empty from the start: hosts compute with other tensors while they build.
    with DefaultScope.overwrite_default_scope(scope), init_empty_weights():
        return MODELS.build(config).to('meta')


def backbone_features(config: dict, scope: str) -> tuple[Feature, ...]:
    """Return the features of any backbone.

    Raises:
        ValueError: It returns outputs that are not feature maps, or different features in training and in testing.
    """
    config = {key: value for key, value in config.items() if key not in ('init_cfg', 'pretrained')}
    size = config.get('img_size') or IMAGE_SIZE
    height, width = (size, size) if isinstance(size, int) else size
    backbone = build_empty(config, scope)
    images = torch.empty(2, 3, height, width, device='meta')  # two, or batch norm has nothing to average
    with torch.no_grad():
        features, in_training = (_features(_run(backbone, images, mode), width, config) for mode in (False, True))
    if features != in_training:
        raise ValueError(f'{config["type"]} returns different features in training and in testing')
    return features


def neck_features(
    config: dict, scope: str, features: Sequence[Feature]
) -> tuple[tuple[Feature, ...], tuple[set[int], ...]]:
    """Return the features of a neck.

    Args:
        config (dict): Its config.
        scope (str): The host that the neck belongs to.
        features (Sequence[Feature]): Its input.

    Returns:
        tuple[tuple[Feature], tuple[set[int]]]: Its output, and the indices of the input features that each depends on.

    Raises:
        ValueError: It returns outputs that are not feature maps.
    """
    inputs = [_empty_map(feature) for feature in features]
    outputs = _run(build_empty(config, scope), tuple(inputs))
    return _features(outputs, IMAGE_SIZE, config), tuple(_sources(output, inputs) for output in outputs)


def _empty_map(feature):
    side = -(-IMAGE_SIZE // feature.stride)
    return torch.empty(2, feature.channels, side, side, device='meta', requires_grad=True)


def _sources(output, inputs) -> set[int]:
    gradients = torch.autograd.grad(output.sum(), inputs, retain_graph=True, allow_unused=True)
    return {index for index, gradient in enumerate(gradients) if gradient is not None}


def _run(part, inputs, training=False):
    part.train(training)
    return part(inputs)


def _features(output, width, config) -> tuple[Feature, ...]:
    """Treat a vector for the whole image, as after global pooling, as a map of one cell."""
    is_map = isinstance(output, (list, tuple)) and all(isinstance(x, torch.Tensor) and x.ndim in (2, 4) for x in output)
    if not is_map:
        raise ValueError(f'{config["type"]} returns outputs that are not feature maps')
    # A convolution without padding loses a cell or two, so a stride need not be whole.
    return tuple(Feature(x.shape[1], round(width / x.shape[-1]) if x.ndim == 4 else width) for x in output)
