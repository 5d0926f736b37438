"""Check that a checkpoint contains only settings, numbers, and plain tensors of finite weights.

Hosts copy what fits and log the rest. A sparse tensor, or one without storage, therefore leaves a weight random, and
anything but a dict ends in an ``AttributeError`` elsewhere. Here each is an error that names the file and the entry.

Delete together with :mod:`mmdiffperc.compat.checkpoint`.
"""

import datetime
from argparse import Namespace
from collections.abc import Iterator, Mapping
from numbers import Integral
from pathlib import PurePath
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from torch import Tensor, nn

from mmdiffperc.files import brief
from mmdiffperc.finite import is_finite

from .checkpoint_unpickler import METHODS, LightningCallback, safe_types

_DEEPEST = 50
_SMALL = 2**20  # bytes of a constant that a model stores expanded
_DATES = (datetime.date, datetime.time, datetime.timedelta, datetime.tzinfo)
_LEAVES = (type(None), int, float, complex, str, bytes, bytearray, torch.Size, torch.dtype, torch.device, torch.layout)
_LEAVES += (PurePath, HistoryBuffer, *_DATES)
_CONTAINERS = (Mapping, list, tuple, set, frozenset, Namespace)
_FUNCTIONS = [getattr(owner, name) for owner, names in METHODS.items() for name in names]
_SEQUENCES = (list, tuple, np.ndarray)
_PARTS = ('meta', 'message_hub')
_WEIGHTS = ('state_dict', 'ema_state_dict')


def check_plain(content: Any, where: str) -> None:
    """Check that the content of a file is plain data that is safe to copy.

    Args:
        content (Any): What was loaded.
        where (str): The file, for messages.

    Raises:
        ValueError: It contains a tensor that is sparse, quantised, without storage or larger than its storage, an
            object that is neither a setting nor a number, or containers that are nested more than 50 levels deep.
    """
    accepted = (*_LEAVES, *safe_types())
    for path, value in _walk(content):
        if fault := _fault(value, len(path), accepted):
            raise ValueError(
                f'{where}: the entry {_name(path)} is {fault}. Expected settings, numbers, and plain tensors that are '
                'stored in full: save the checkpoint again with such entries only'
            )


def _walk(content: Any) -> Iterator[tuple[tuple, Any]]:
    """Yield all entries with their paths; a container that occurs several times is opened once."""
    opened, waiting = set(), [((), content)]
    while waiting:
        path, value = waiting.pop()
        yield path, value
        if isinstance(value, _CONTAINERS) and id(value) not in opened:
            opened.add(id(value))
            waiting.extend(((*path, name), entry) for name, entry in _entries(value))


def _entries(value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Mapping):
        return iter(value.items())
    return iter(vars(value).items()) if isinstance(value, Namespace) else enumerate(value)


def _name(path: tuple) -> str:
    return brief('.'.join(name if isinstance(name, str) else brief(name) for name in path[:8]) or '(top level)')


def _fault(value: Any, depth: int, accepted: tuple[type, ...]) -> str | None:
    if isinstance(value, Tensor):
        return _fault_of_tensor(value)
    if isinstance(value, (np.ndarray, np.generic)):
        return None if value.dtype.kind in 'biufcSU' else f'an array of type {value.dtype}'
    if isinstance(value, _CONTAINERS):
        return f'nested more than {_DEEPEST} deep' if depth > _DEEPEST else None
    is_plain = isinstance(value, accepted) or value is LightningCallback or value in _FUNCTIONS
    return None if is_plain else f'an object of type {type(value).__name__}'


def _fault_of_tensor(tensor: Tensor) -> str | None:
    if type(tensor) not in (Tensor, nn.Parameter):
        return f'a tensor of type {type(tensor).__name__}'
    if tensor.is_quantized:
        return f'quantised, {tensor.dtype}'
    if tensor.layout is not torch.strided:
        return f'sparse, {tensor.layout}'
    if tensor.device.type == 'meta':
        return 'a tensor without content, on the device meta'
    if tensor.is_contiguous():
        return None
    stored = tensor.untyped_storage().nbytes()
    if tensor.numel() * tensor.element_size() > max(stored, _SMALL):
        return f'a tensor of shape {tuple(tensor.shape)} that repeats {stored} stored bytes'
    return None


def check_weights(content: Any, where: str) -> None:
    """Check that the weights in a checkpoint are tensors with names that a model can load.

    Args:
        content (Any): What was loaded: a dict of names and weights, a dict with such a dict as ``state_dict``, or a
            tensor, as embeddings are saved.
        where (str): The file, for messages.

    Raises:
        ValueError: It is something else; a name is not a string; a weight is not a tensor, is complex or not finite; or
            ``meta`` or ``message_hub`` is not a dict.
    """
    if isinstance(content, Tensor):
        return check_finite({'': content}, where)
    if not isinstance(content, dict):
        raise ValueError(f'{where}: expected a dict with the weights of a model as state_dict, got {brief(content)}')
    for part in _PARTS:
        _expect_dict(content.get(part, {}), where, part)
    for part, value in content.get('message_hub', {}).items():
        _expect_dict(value, where, f'message_hub.{part}')
    _check_dataset_meta(content.get('meta', {}).get('dataset_meta'), where)
    for part in _WEIGHTS:
        _expect_dict(content.get(part, {}), where, part)
        _check_named(content.get(part, {}), where)
    if 'state_dict' not in content:  # weights may be mixed with settings, or in ``model``
        inner = content.get('model')
        for weights in (content, inner if isinstance(inner, dict) else {}):
            _check_named({name: entry for name, entry in weights.items() if _is_weight(name, entry)}, where)


def _is_weight(name, entry):
    return isinstance(entry, Tensor) or not isinstance(name, str)


def _check_named(weights, where):
    for name, weight in weights.items():
        if not isinstance(name, str):
            raise ValueError(f'{where}: expected the names of weights to be strings, got {brief(name)}')
        if not isinstance(weight, Tensor) and not name.endswith('_extra_state'):
            raise ValueError(f'{where}: expected a tensor as weight {brief(name)}, got {brief(weight)}')
    check_finite({name: weight for name, weight in weights.items() if isinstance(weight, Tensor)}, where)


def _expect_dict(value, where, name):
    if not isinstance(value, dict):
        raise ValueError(f'{where}: expected a dict as {name}, got {brief(value)}')


def check_finite(weights: Mapping[str, Tensor], where: str) -> None:
    """Check that weights are real and finite.

    A mask of zeros and minus infinity, which some models store among their weights, is accepted.

    Args:
        weights (Mapping[str, Tensor]): The weights by name.
        where (str): The file, for messages.

    Raises:
        ValueError: A weight is complex, NaN or infinite; the message names the first one.
    """
    for name, weight in weights.items():
        if weight.is_complex():
            raise ValueError(f'{where}: the weight {name} is complex, {weight.dtype}: expected real numbers')
        if not is_finite(weight):
            count = int((~torch.isfinite(weight)).sum())
            raise ValueError(
                f'{where}: expected finite weights, but {count} of the {weight.numel()} values of {name} are NaN or '
                'infinite, as after a training run that diverged: take an earlier checkpoint'
            )


def _check_dataset_meta(dataset_meta: Any, where: str) -> None:
    if not isinstance(dataset_meta, (Mapping, type(None))):
        raise ValueError(f'{where}: expected a dict as meta.dataset_meta, got {brief(dataset_meta)}')
    classes = (dataset_meta or {}).get('classes')
    is_list = isinstance(classes, (list, tuple)) and all(isinstance(name, str) for name in classes)
    if classes is not None and not is_list:
        raise ValueError(f'{where}: expected the names of classes as meta.dataset_meta.classes, got {brief(classes)}')
    _check_palette((dataset_meta or {}).get('palette'), len(classes or ()), where)


def _check_palette(palette: Any, num_classes: int, where: str) -> None:
    """Accept a colour for each class, or a string, which mmdetection reads as the name of a palette."""
    is_list = isinstance(palette, _SEQUENCES) and len(palette) >= num_classes and all(map(_is_colour, palette))
    if not is_list and not isinstance(palette, (str, type(None))):
        raise ValueError(
            f'{where}: expected a colour [red, green, blue], from 0 to 255, for each of {num_classes} classes as '
            f'meta.dataset_meta.palette, got {brief(palette)}'
        )


def _is_colour(colour: Any) -> bool:
    is_triple = isinstance(colour, _SEQUENCES) and len(colour) == 3
    return is_triple and all(isinstance(value, Integral) and 0 <= value <= 255 for value in colour)
