"""Finds weights that are NaN or infinite."""

from collections.abc import Mapping
from typing import Any

import torch


def first_non_finite(state_dict: Mapping[str, Any]) -> str | None:
    """Return the name of the first tensor that holds a NaN or an infinite value.

    Args:
        state_dict (Mapping[str, Any]): Tensors by name. Integer, sparse and meta tensors, and values that are not
            tensors, are skipped. Of a sharded tensor, the local shard is checked.

    Returns:
        str | None: The name, or None if all values are finite.
    """
    return next((name for name, value in state_dict.items() if not _is_finite(value)), None)


def _is_finite(value):
    if not isinstance(value, torch.Tensor) or value.is_meta or value.layout != torch.strided:
        return True
    if not (value.is_floating_point() or value.is_complex()):
        return True
    tensor = value.detach()
    if hasattr(tensor, 'to_local'):  # a DTensor's own sum would wait for the other ranks
        tensor = tensor.to_local()
    # Ten times as fast as looking at each value: a finite sum has finite terms. The sum of finite terms may overflow,
    # and there is none for eight-bit floats; then each value counts.
    summable = tensor.dtype.itemsize > 1
    return bool(summable and tensor.sum().isfinite()) or bool(tensor.isfinite().all())
