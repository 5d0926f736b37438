"""Find weights that are NaN or infinite."""

from collections.abc import Mapping
from typing import Any

import torch

from mmdiffperc.sharded_tensors import local_part


def first_non_finite(state_dict: Mapping[str, Any]) -> str | None:
    """Return the name of the first tensor that holds a NaN or an infinite value.

    Args:
        state_dict (Mapping[str, Any]): Tensors by name. Integer, sparse and meta tensors, and values that are not
            tensors, are skipped. Only the local part of a sharded tensor is checked.

    Returns:
        str | None: The name, or None if all values are finite.
    """
    tensors = {name: value for name, value in state_dict.items() if isinstance(value, torch.Tensor)}
    return next((name for name, tensor in tensors.items() if not is_finite(tensor)), None)


def is_finite(tensor: torch.Tensor) -> bool:
    """Return whether a tensor holds neither NaN nor infinity.

    A mask of zeros and minus infinity, which some models store among their weights, passes.

    Args:
        tensor (Tensor): Of any shape and type. Integer, sparse and meta tensors pass. Only the local part of a sharded
            tensor is checked.
    """
    return all(map(_is_finite, _local_parts(tensor.detach())))


def _is_finite(tensor):
    if tensor.is_meta or tensor.layout != torch.strided or not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    if tensor.element_size() == 1:  # eight-bit floats have no sum
        tensor = tensor.float()
    # A finite sum has finite terms and takes a tenth of the time of checking each of them, but it may overflow.
    total = tensor.sum(dtype=torch.promote_types(tensor.dtype, torch.float32))
    return bool(total.isfinite()) or bool(tensor.isfinite().all()) or _is_mask(tensor)


def _local_parts(tensor):
    # Arithmetic on a sharded tensor would wait for the other processes, or is not defined.
    if hasattr(tensor, 'local_shards'):
        return [shard.tensor for shard in tensor.local_shards()]
    return [local_part(tensor)]


def _is_mask(tensor):
    return not tensor.is_complex() and bool(((tensor == 0) | (tensor == -torch.inf)).all())
