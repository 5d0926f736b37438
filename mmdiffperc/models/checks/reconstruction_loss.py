"""Add the loss of a second task to the losses of the model to which a backbone is added."""

from torch import nn

from mmdiffperc.models.backbones import DiffusionUNet
from mmdiffperc.models.layers.reconstruction import attach_loss

from .dispatcher import model_check


@model_check
def add_reconstruction_loss(model: nn.Module, name: str, part: nn.Module | None):
    """Attach the loss of a :class:`.DiffusionUNet` with ``reconstruction_weight`` to the model that it becomes part of.

    The host's own loss functions do not know of it, so that any head can be combined with it.
    """
    if isinstance(part, DiffusionUNet) and part.reconstruction:
        attach_loss(model, name, part)
