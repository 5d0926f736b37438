"""A time embedding that is an input instead of computed."""

import torch
from torch import nn


class GivenTimeEmbedding(nn.Module):
    """Replace a U-Net's ``time_embedding``: the tensor passed as ``timestep_cond`` is the embedding.

    The timestep is ignored. `MetaPrompts <https://arxiv.org/abs/2312.14733>`_ passes a learned vector.
    """

    def forward(self, sinusoids: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Return ``condition``, ``(B, width of the time embedding)``."""
        return condition
