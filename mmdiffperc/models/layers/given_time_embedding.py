"""A time embedding that is given instead of computed."""

import torch
from torch import nn


class GivenTimeEmbedding(nn.Module):
    """Take the place of a U-Net's ``time_embedding``: what is passed as ``timestep_cond`` is the embedding itself.

    The timestep is ignored. In `MetaPrompts <https://arxiv.org/abs/2312.14733>`_ a learned vector is given.
    """

    def forward(self, sinusoids: torch.Tensor, condition: torch.Tensor) -> torch.Tensor:
        """Hand on ``condition``, ``(B, width of the time embedding)``."""
        return condition
