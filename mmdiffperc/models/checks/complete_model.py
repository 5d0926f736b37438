"""Refuse a checkpoint that would leave a part of the whole model random when the model is tested or applied.

mmengine writes one line to the log about what a checkpoint lacks, or has in another shape, and a head of random weights
predicts noise. Every model with a backbone, neck or head of this package is therefore checked before weights are loaded
into it. See :mod:`mmdiffperc.models.checks.channel_check` for how the check learns of the model.

Training initialises first, and may start from a checkpoint with another head, or with none: parts that are initialised
are left to mmengine. Its ``FlexibleRunner`` initialises sharded models before testing, too; there only the log reports.

Three things may always be missing: an ``auxiliary_head``, which takes no part in prediction, with a warning; the state
of a loss; and the batch counts of batch normalisation. :class:`.DiffusionUNet` checks its own weights, see
:mod:`mmdiffperc.weights.completeness`.
"""

import logging
import re
from collections.abc import Iterator
from weakref import WeakSet

import torch
from mmengine.logging import print_log
from mmengine.model import BaseModule
from torch import nn

from mmdiffperc.models.backbones import DiffusionUNet

from .dispatcher import model_check

_PACKAGE = __name__.partition('.')[0]
_NOT_FOR_PREDICTION = re.compile(r'(^|\.)(loss\w*\.|num_batches_tracked$)')
_AUXILIARY = 'auxiliary_head'

_held = WeakSet()


@model_check
def hold_to_completeness(model: nn.Module, name: str, part: nn.Module | None):
    """Check what will be loaded into a model that a part of this package becomes part of.

    Args:
        model (nn.Module): The segmentor, detector or pose estimator.
        name (str): The part's name in it.
        part (nn.Module): The part; one inside it counts as well.
    """
    if not isinstance(model, BaseModule) or part is None or model in _held:
        return
    if any(isinstance(module, BaseModule) and _is_ours(module) for module in part.modules()):
        _held.add(model)
        model.register_load_state_dict_pre_hook(refuse_random)


def refuse_random(model: BaseModule, state_dict: dict[str, torch.Tensor], prefix: str, *args):
    """Compare the names and shapes in a checkpoint with those of the model, before it is loaded.

    Raises:
        RuntimeError: Parts that nothing has initialised would stay random, in part or as a whole.
    """
    expected = {prefix + name: weight.shape for name, weight in _uninitialised(model)}
    unfilled = [name for name, shape in expected.items() if name not in state_dict or state_dict[name].shape != shape]
    auxiliary = [name for name in unfilled if name.startswith(prefix + _AUXILIARY)]
    if auxiliary:
        print_log(
            f'The checkpoint lacks {len(auxiliary)} weights of {_AUXILIARY}, first {auxiliary[0]}. They are not needed '
            'for prediction and stay random',
            logger='current',
            level=logging.WARNING,
        )
    unfilled = [name for name in unfilled if name not in auxiliary]
    if unfilled:
        first = unfilled[0]
        found = tuple(state_dict[first].shape) if first in state_dict else 'nothing'
        raise RuntimeError(
            f'The checkpoint lacks {len(unfilled)} weights of {type(model).__name__}, or has them in another shape, '
            f'first {", ".join(unfilled[:3])}: they would stay random. {first} should have shape '
            f'{tuple(expected[first])}, the checkpoint has {found}. Check that it is of a model with this config'
        )


def _uninitialised(model: BaseModule) -> Iterator[tuple[str, torch.Tensor]]:
    """List the weights that prediction needs and that only a checkpoint can fill."""
    if model.is_init:
        return
    ready = {name for name, part in model.named_children() if any(getattr(m, 'is_init', False) for m in part.modules())}
    checked = [f'{name}.' for name, module in model.named_modules() if isinstance(module, DiffusionUNet)]
    for name, weight in model.state_dict().items():
        part = name.partition('.')[0]
        if part not in ready and not name.startswith(tuple(checked)) and not _NOT_FOR_PREDICTION.search(name):
            yield name, weight


def _is_ours(module: nn.Module) -> bool:
    return type(module).__module__.partition('.')[0] == _PACKAGE
