"""Weights of a U-Net in 8 bits, for checkpoints that should be small.

A checkpoint holds the matrices of the U-Net, convolutions included, as integers with a scale for each row. They are
multiplied when a backbone loads the checkpoint.
"""

import torch
from mmengine.model import BaseModule

# Endings of the names of the two tensors that replace a weight. Its own name is gone, so that a program that does not
# know them reports the weight as missing.
INTEGERS, SCALE = '_int8', '_scale'
LARGEST = 127
_PART = 'unet.'


def with_eight_bits(weights: dict[str, torch.Tensor], backbone: str = 'backbone.') -> dict[str, torch.Tensor]:
    """Return the weights of a model, with the matrices of the U-Net in 8 bits.

    Args:
        weights (dict[str, Tensor]): The weights by name.
        backbone (str): Prefix of the names of the backbone's weights. Defaults to ``'backbone.'``.

    Raises:
        ValueError: There is no U-Net.
    """
    stored = {}
    for name, weight in weights.items():
        is_matrix = name.startswith(backbone + _PART) and weight.is_floating_point() and weight.ndim > 1
        stored |= _quantized(name, weight) if is_matrix else {name: weight}
    if len(stored) == len(weights):
        raise ValueError(f'{backbone}{_PART}*: expected the weights of a U-Net to store in 8 bits, got none')
    return stored


def _quantized(name, weight):
    scale = weight.float().flatten(1).abs().amax(1).div(LARGEST)
    scale = scale.where(scale > 0, 1).reshape(-1, *[1] * (weight.ndim - 1))  # (rows, 1, ...)
    return {name + INTEGERS: (weight / scale).round().to(torch.int8), name + SCALE: scale}


def restore_eight_bits(backbone: BaseModule, state_dict: dict[str, torch.Tensor], prefix: str, *args):
    """Replace weights in 8 bits by floating-point weights.

    For ``backbone.register_load_state_dict_pre_hook``.

    Args:
        backbone (BaseModule): A :class:`.DiffusionUNet`.
        state_dict (dict[str, Tensor]): The weights of the checkpoint; changed in place.
        prefix (str): Prefix of the names of the backbone's weights.
    """
    names = [name.removesuffix(INTEGERS) for name in state_dict if name.endswith(INTEGERS)]
    for name in names:
        if name.startswith(prefix + _PART) and name + SCALE in state_dict:
            state_dict[name] = state_dict.pop(name + INTEGERS) * state_dict.pop(name + SCALE)
