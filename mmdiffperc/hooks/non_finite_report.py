"""Where a NaN comes from: the sample, the loss, the module."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import nn
from torch.nn.modules.module import register_module_forward_hook

from mmdiffperc.files import brief
from mmdiffperc.finite import first_non_finite

MAX_NAMES = 8  # a batch may have hundreds of samples


def flatten(value: Any, name: str = '') -> Iterator[tuple[str, torch.Tensor]]:
    """Yield the tensors of nested containers, data samples and boxes, with names such as ``data_samples.1.gt.data``."""
    if isinstance(value, np.ndarray) and value.dtype.kind == 'f':
        value = torch.from_numpy(value)
    value = getattr(value, 'tensor', value)  # the boxes of mmdet
    if isinstance(value, torch.Tensor):
        yield name, value
        return
    entries = ()
    if isinstance(value, (Mapping, BaseDataElement)):
        entries = value.items()
    elif isinstance(value, (list, tuple)):
        entries = enumerate(value)
    for key, entry in entries:
        yield from flatten(entry, f'{name}.{key}' if name else str(key))


def sample_names(batch: Any) -> list[str]:
    """Name the samples of a batch by their image files, where the batch knows them."""
    samples = batch.get('data_samples') if isinstance(batch, Mapping) else None
    paths = [sample.get('img_path') if isinstance(sample, BaseDataElement) else None for sample in samples or []]
    return [f'sample {index}' if path is None else str(path) for index, path in enumerate(paths)]


def non_finite_entries(batch: Any) -> list[str]:
    """Name what is not finite in a batch, such as ``inputs of kitchen/3.png``, before the model has seen it."""
    samples, found = dict(enumerate(sample_names(batch))), []
    for name, tensor in flatten(batch):
        if first_non_finite({name: tensor}) is None:
            continue
        field, _, rest = name.partition('.')
        index, _, entry = rest.partition('.')
        if index.isdigit():  # a list of samples
            indices, field = [int(index)], entry or field
        elif tensor.dim():  # a stack of samples
            bad = ~tensor.isfinite().reshape(len(tensor), -1).all(1)
            indices, field = bad.nonzero()[:, 0].tolist(), name
        else:
            indices = [0]
        found += [f'{field} of {samples.get(index, f"sample {index}")}' for index in indices]
    return found


class ForwardRecord:
    """Which modules a forward pass ran, in the order in which they finished, and the first with a bad output.

    Args:
        model (nn.Module): The model, for the names of the modules.
    """

    def __init__(self, model: nn.Module):
        self._model = model
        self._names = {module: name for name, module in model.named_modules()}
        self.executed = []
        self.first = None

    def run(self, forward: Callable[[], Any]):
        """Run a forward pass and look at the output of every module."""
        with register_module_forward_hook(self._look):
            forward()

    def name(self, module: nn.Module) -> str:
        """Name a module by its place in the model and its type."""
        return f'{self._names.get(module, "a module")} ({type(module).__name__})'

    def _look(self, module, args, output):
        if module is self._model:
            return  # its output are losses, and measures that may well be NaN
        self.executed.append(module)
        if self.first is not None or first_non_finite(dict(flatten(output))) is None:
            return
        spoilt = first_non_finite(dict(flatten(args))) is not None
        if spoilt and not list(module.parameters()):
            return  # dropout and the like pass on what they get
        weight = first_non_finite(dict(module.named_parameters(recurse=False)))
        cause = f'whose {weight} is not finite' if weight else f'whose input is {"not " if spoilt else ""}finite'
        self.first = f'{self.name(module)}, {cause}'


def describe_gradients(model: nn.Module, record: ForwardRecord) -> str:
    """Say which gradients are not finite, and where on their way from the loss they first were not."""
    gradients = {parameter: parameter.grad for parameter in model.parameters() if parameter.grad is not None}
    bad = {parameter for parameter, gradient in gradients.items() if first_non_finite({'': gradient}) is not None}
    text = f'the gradients of {len(bad)} of {len(gradients)} parameters are not finite'
    if not bad or len(bad) == len(gradients):  # clipping by a norm that is NaN makes all of them NaN
        return text
    reached = (module for module in reversed(record.executed) if bad.intersection(module.parameters(recurse=False)))
    first = next(reached, None)
    return text if first is None else f'{text}, from {record.name(first)} on'


def listed(names: list[str]) -> str:
    """List some names, shortened, because they are foreign and may be many."""
    more = f', and {len(names) - MAX_NAMES} more' if len(names) > MAX_NAMES else ''
    return (', '.join(brief(name, 200).strip('\'"') for name in names[:MAX_NAMES]) + more) or 'unknown'
