"""Finds weights that are NaN or infinite."""

from collections.abc import Mapping
from typing import Any

import torch


def first_non_finite(state_dict: Mapping[str, Any]) -> str | None:
    """Return the name of the first tensor that holds a NaN or an infinite value.

    Args:
        state_dict (Mapping[str, Any]): Tensors by name. Integer, sparse and meta tensors, and values that are not
            tensors, are skipped. Of a sharded tensor, what this process holds is checked.

    Returns:
        str | None: The name, or None if all values are finite.
    """
    return next((name for name, value in state_dict.items() if not _is_finite(value)), None)


def _is_finite(value):
    return not isinstance(value, torch.Tensor) or all(_is_finite_tensor(part.detach()) for part in _local_parts(value))


def _local_parts(tensor):
    # Arithmetic on a sharded tensor would wait for the other processes, or is not defined.
    if hasattr(tensor, 'local_shards'):
        return [shard.tensor for shard in tensor.local_shards()]
    return [tensor.to_local() if hasattr(tensor, 'to_local') else tensor]


def _is_finite_tensor(tensor):
    if tensor.is_meta or tensor.layout != torch.strided or not (tensor.is_floating_point() or tensor.is_complex()):
        return True
    # Ten times as fast as looking at each value: a finite sum has finite terms. The sum of finite terms may overflow,
    # and there is none for eight-bit floats; then each value counts.
    summable = tensor.dtype.itemsize > 1
    return bool(summable and tensor.sum().isfinite()) or bool(tensor.isfinite().all())
