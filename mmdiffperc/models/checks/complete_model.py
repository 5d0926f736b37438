"""Refuse incomplete checkpoints of every model with a backbone, neck or head of this package.

mmengine's ``FlexibleRunner`` initialises sharded models before testing as well, so they may keep random parts; the log
reports them.
"""

from mmengine.model import BaseModule
from torch import nn

from mmdiffperc.weights.completeness import Completeness

from .dispatcher import is_ours, model_check

COMPLETENESS = Completeness('Check that the checkpoint belongs to a model with this config')


@model_check
def check_checkpoints(model: nn.Module, name: str, part: nn.Module | None):
    """Check every checkpoint that will be loaded into a model that contains a module of this package."""
    if not isinstance(model, BaseModule) or part is None or hasattr(model, 'completeness'):
        return
    if any(isinstance(module, BaseModule) and is_ours(type(module)) for module in part.modules()):
        COMPLETENESS.attach(model)
