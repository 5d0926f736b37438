"""Refuse checkpoints that would leave a weight random.

mmengine only logs weights that a checkpoint lacks or has in another shape, and random weights predict noise. Training
initialises the weights first, and may then start from a checkpoint without the head, for example.

These weights may always be missing: the weights of an ``auxiliary_head``, which takes no part in prediction, with a
warning; the state of a loss; and the batch counts of batch normalisation.
"""

import re
from collections.abc import Iterator

import torch
from mmengine.logging import MMLogger
from mmengine.model import BaseModule
from torch import nn

_NOT_FOR_PREDICTION = re.compile(r'(^|\.)(loss\w*\.|num_batches_tracked$)')
_AUXILIARY = 'auxiliary_head'


class Completeness:
    """Compare a checkpoint with a module before it is loaded, and refuse it if it would leave weights random.

    Initialised weights may keep their values. Weights count as initialised if ``is_init`` is true for the module, or
    for an mmengine module inside the child that holds them. Submodules that have a separate check are skipped.

    Args:
        advice (str): What the user should do, for the message.
        whole (bool): Require the checkpoint to hold all weights of the module or none, even if they have been
            initialised. Defaults to False.
        same_shapes (bool): With ``whole``: also require the shapes of the module. Defaults to False.
    """

    def __init__(self, advice: str, whole: bool = False, same_shapes: bool = False):
        self.advice = advice
        self.whole = whole
        self.same_shapes = same_shapes

    def attach(self, module: nn.Module):
        """Check every checkpoint that will be loaded into a module."""
        module.completeness = self
        module.register_load_state_dict_pre_hook(self)

    def __call__(self, module: nn.Module, state_dict: dict[str, torch.Tensor], prefix: str, *args):
        """Check the checkpoint ``state_dict``, in which the names of the module's weights begin with ``prefix``.

        Raises:
            RuntimeError: The checkpoint would leave weights random.
        """
        needed = {prefix + name: tuple(weight.shape) for name, weight in _needed(module)}
        found = {name: tuple(state_dict[name].shape) for name in needed if name in state_dict}
        missing = [name for name in needed if name not in found or (self.same_shapes and found[name] != needed[name])]
        if self.whole and found and missing:
            self._refuse(module, needed, found, missing)
        initialised = tuple(prefix + start for start in _initialised(module))
        unfilled = [name for name in needed if found.get(name) != needed[name] and not name.startswith(initialised)]
        auxiliary = [name for name in unfilled if name.startswith(prefix + _AUXILIARY)]
        if auxiliary:
            MMLogger.get_current_instance().warning(
                f'The checkpoint lacks {len(auxiliary)} weights of {_AUXILIARY}, first {auxiliary[0]}. They are not '
                'needed for prediction and stay random'
            )
        if len(unfilled) > len(auxiliary):
            self._refuse(module, needed, found, [name for name in unfilled if name not in auxiliary])

    def _refuse(self, module, needed, found, unfilled):
        first = unfilled[0]
        raise RuntimeError(
            f'The checkpoint lacks {len(unfilled)} of the {len(needed)} weights of {type(module).__name__}, or has '
            f'them in another shape, first {", ".join(unfilled[:3])}: they would stay random. {first} should have '
            f'shape {needed[first]}, the checkpoint has {found.get(first, "nothing")}. {self.advice}'
        )


def _needed(module: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the weights that prediction needs, except for those that a submodule checks."""
    checked = tuple(f'{name}.' for name, part in module.named_modules() if name and hasattr(part, 'completeness'))
    for name, weight in module.state_dict().items():
        if not name.startswith(checked) and not _NOT_FOR_PREDICTION.search(name):
            yield name, weight


def _initialised(module: nn.Module) -> list[str]:
    """Return the prefixes of the names of initialised weights."""
    if module.is_init:
        return ['']
    return [
        f'{name}.'
        for name, child in module.named_children()
        if any(isinstance(part, BaseModule) and part.is_init for part in child.modules())
    ]
