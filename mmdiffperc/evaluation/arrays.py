"""What NumPy and PyTorch share, so that measures are computed where their arrays are: on the CPU or on a GPU."""

import math
from types import ModuleType

import numpy as np
import torch

Array = np.ndarray | torch.Tensor


def library_of(array: Array) -> ModuleType:
    """Return ``torch`` for a tensor and ``numpy`` for an array; both have functions of the same names."""
    return torch if isinstance(array, torch.Tensor) else np


def share_of(mask: Array) -> float:
    """Return the share of a boolean mask that is true."""
    return int(mask.sum()) / math.prod(mask.shape)


def to_numpy(array: Array) -> np.ndarray:
    """Return an array, or a copy of a tensor on a GPU, in NumPy."""
    return array.cpu().numpy() if isinstance(array, torch.Tensor) else array
