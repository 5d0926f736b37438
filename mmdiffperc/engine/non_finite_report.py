"""Where a NaN comes from: the sample, the loss, the module."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.structures import BaseDataElement
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import get_total_norm

from mmdiffperc.files import brief
from mmdiffperc.finite import first_non_finite

MAX_NAMES = 8


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
    return [f'sample {index}' if path is None else brief(path, 200) for index, path in enumerate(paths)]


def non_finite_entries(batch: Any) -> list[str]:
    """Name what is not finite in a batch, such as ``inputs of kitchen/3.png``, before the model has seen it."""
    samples, found = dict(enumerate(sample_names(batch))), []
    for name, tensor in flatten(batch):
        if is_finite(tensor):
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


def watch_forward(model: nn.Module, forward: Callable[[], Any]) -> tuple[list[nn.Module], str | None]:
    """Run a forward pass and look at the output of every module.

    The output of the model itself does not count: it has losses, and measures that may well be NaN.

    Returns:
        tuple[list[nn.Module], str | None]: The modules in the order in which they finished, and a description of the
        first with an output that is not finite.
    """
    names, finished, found = named_parts(model), [], []

    def look(module, args, output):
        if module not in names:
            return
        finished.append(module)
        if found or is_finite(output):
            return
        if is_finite(args) or list(module.parameters()):  # dropout and the like pass on what they get
            found.append(f'{names[module]}, {describe_cause(module, args)}')

    with register_module_forward_hook(look):
        forward()
    return finished, found[0] if found else None


def named_parts(model: nn.Module) -> dict[nn.Module, str]:
    """Return the modules within a model, with their place in it and their type."""
    return {part: f'{name} ({type(part).__name__})' for name, part in model.named_modules() if part is not model}


def is_finite(value: Any) -> bool:
    """Return whether all tensors in nested containers are finite."""
    return first_non_finite(dict(flatten(value))) is None


def describe_cause(module: nn.Module, args: tuple) -> str:
    """Say what a module that has an output that is not finite was given, or has itself."""
    weight = first_non_finite(dict(module.named_parameters(recurse=False)))
    return f'whose {weight} is not finite' if weight else f'whose input is {"" if is_finite(args) else "not "}finite'


def describe_gradients(model: nn.Module, finished: list[nn.Module]) -> str:
    """Say which gradients are not finite, and where on their way from the loss they first were not.

    Args:
        model (nn.Module): The model, after a backward pass.
        finished (list[nn.Module]): Its modules in the order in which the forward pass finished them.
    """
    gradients = {parameter: parameter.grad for parameter in model.parameters() if parameter.grad is not None}
    bad = {parameter for parameter, gradient in gradients.items() if not is_finite(gradient)}
    if not bad:
        overflows = not get_total_norm(list(gradients.values())).isfinite()
        return f'all gradients are finite{", but their norm overflows" if overflows else ""}'
    text = f'the gradients of {len(bad)} of {len(gradients)} parameters are not finite'
    if len(bad) == len(gradients):  # clipping by a norm that is NaN makes all of them NaN
        return text
    reached = (module for module in reversed(finished) if bad.intersection(module.parameters(recurse=False)))
    first = next(reached, None)
    return text if first is None else f'{text}, from {named_parts(model)[first]} on'


def listed(names: list[str]) -> str:
    """List some names; there may be hundreds."""
    more = f', and {len(names) - MAX_NAMES} more' if len(names) > MAX_NAMES else ''
    return (', '.join(names[:MAX_NAMES]) or 'unknown') + more
