"""Hold every model with a backbone, neck or head of this package to complete checkpoints.

mmengine's ``FlexibleRunner`` initialises sharded models before testing as well, so they may keep random parts; the log
reports them.
"""

from mmengine.model import BaseModule
from torch import nn

from mmdiffperc.weights.completeness import Completeness

from .dispatcher import model_check

_PACKAGE = __name__.partition('.')[0]
COMPLETENESS = Completeness('Check that the checkpoint belongs to a model with this config')


@model_check
def hold_to_completeness(model: nn.Module, name: str, part: nn.Module | None):
    """Check what will be loaded into a model with a part of this package.

    Args:
        model (nn.Module): The segmentor, detector or pose estimator.
        name (str): The part's name in the model.
        part (nn.Module): The part, which may also contain a module of this package.
    """
    if not isinstance(model, BaseModule) or part is None or hasattr(model, 'completeness'):
        return
    if any(isinstance(module, BaseModule) and _is_ours(module) for module in part.modules()):
        COMPLETENESS.attach(model)


def _is_ours(module: nn.Module) -> bool:
    return type(module).__module__.partition('.')[0] == _PACKAGE
