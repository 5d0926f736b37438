"""Tensors of which each process has a part."""

from torch import Tensor


def local_part(tensor: Tensor) -> Tensor:
    """Return this process's part of a tensor that ``fully_shard`` has sharded (DTensor), or any other tensor itself."""
    return tensor.to_local() if hasattr(tensor, 'to_local') else tensor
