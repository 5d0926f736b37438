"""The text adapter of VPD."""

import torch
from torch import nn

from mmdiffperc.registry import MODELS


@MODELS.register_module()
class TextAdapter(nn.Module):
    """Refine prompt embeddings by a small residual MLP: ``texts + gamma * MLP(texts)``.

    From `VPD <https://arxiv.org/abs/2303.02153>`_; the MLP is Linear, GELU, Linear at the width of the embeddings.

    Args:
        embed_dims (int): Width ``C`` of the embeddings.
        gamma (float): Start value of every entry of the learnable vector ``gamma``. Defaults to 1e-4.
    """

    def __init__(self, embed_dims: int, gamma: float = 1e-4):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(embed_dims, embed_dims), nn.GELU(), nn.Linear(embed_dims, embed_dims))
        self.gamma = nn.Parameter(torch.full((embed_dims,), gamma))

    def forward(self, texts: torch.Tensor) -> torch.Tensor:
        """Map embeddings ``(..., C)`` to embeddings of the same shape."""
        return texts + self.gamma * self.mlp(texts)
