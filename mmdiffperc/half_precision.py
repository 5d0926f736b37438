"""Prediction in half precision, without copies of the weights."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from typing import Literal

import torch
from torch import nn

HalfType = Literal['bfloat16', 'float16']
DataType = Literal['float32', 'bfloat16', 'float16']

# The last layers of the heads of mmsegmentation for classes and for depth, and of mmpose for heatmaps, which it decodes
# with NumPy, and NumPy has no bfloat16.
LAST_LAYERS = ('conv_seg', 'depth_pred_layer', 'final_layer')


def halve(model: nn.Module, dtype: HalfType = 'bfloat16') -> nn.Module:
    """Freeze a model and prepare it for prediction in half precision.

    Backbones that have a method ``halve`` store their weights in half precision, see :meth:`.DiffusionUNet.halve`. The
    other parts keep their weights, so that norms keep their statistics in single precision; run the model in
    :func:`autocast_for`, which copies only weights that require a gradient. The outputs of the last layers are
    converted to single precision, before softmax, sigmoid and resizing.

    Args:
        model (nn.Module): The model, or a wrapper of it.
        dtype (str): ``'bfloat16'`` or ``'float16'``. Defaults to ``'bfloat16'``.

    Returns:
        nn.Module: The model itself.
    """
    model.requires_grad_(False).eval()
    for name, module in model.named_modules():
        if hasattr(module, 'halve'):
            module.halve(dtype)
        if name.rpartition('.')[2] in LAST_LAYERS:
            module.register_forward_hook(_to_single)
    return model


def _to_single(module, args, output) -> torch.Tensor:
    return output.float()


def autocast_for(device: torch.device, dtype: torch.dtype) -> AbstractContextManager:
    """Return the autocast in which a halved model runs; it does nothing in single precision."""
    return torch.autocast(device.type, dtype, enabled=dtype != torch.float32)


def without_autocast(tensor: torch.Tensor) -> AbstractContextManager:
    """Return a context in which autocast changes no types on the device of a tensor."""
    device = tensor.device.type
    return nullcontext() if device == 'meta' else torch.autocast(device, enabled=False)


def in_own_precision(forward: Callable) -> Callable:
    """Decorate the ``forward`` of a backbone whose attribute ``half_type`` is the type of its weights, or None.

    With a type, the backbone computes in it, even inside autocast, which would cast norms and softmax back. Its
    features are converted to the type of the images.
    """

    @wraps(forward)
    def run(self, inputs):
        if self.half_type is None:
            return forward(self, inputs)
        images = inputs[0] if isinstance(inputs, tuple) else inputs
        with without_autocast(images):
            return tuple(feature.to(images.dtype) for feature in forward(self, inputs))

    return run
