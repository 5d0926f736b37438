"""The text adapter of VPD."""

import torch
from torch import nn

from mmdiffperc.registry import MODELS
from mmdiffperc.validation import FiniteFloat, Width, validated


@MODELS.register_module()
@validated
class TextAdapter(nn.Module):
    """Refine prompt embeddings by a small residual MLP: ``texts + gamma * MLP(texts)``.

    From `VPD <https://arxiv.org/abs/2303.02153>`_. The MLP is Linear, GELU, Linear at the width of the embeddings.
    `MetaPrompts <https://arxiv.org/abs/2312.14733>`_ uses ``MLP(texts)`` without the sum for depth.

    Args:
        embed_dims (int): Width ``C`` of the embeddings.
        gamma (float, optional): Initial value of every entry of the learnable vector ``gamma``; None returns
            ``MLP(texts)``. Defaults to 1e-4.
    """

    def __init__(self, embed_dims: Width, gamma: FiniteFloat | None = 1e-4):
        super().__init__()
        self.mlp = nn.Sequential(nn.Linear(embed_dims, embed_dims), nn.GELU(), nn.Linear(embed_dims, embed_dims))
        self.gamma = None if gamma is None else nn.Parameter(torch.full((embed_dims,), gamma))

    def forward(self, texts: torch.Tensor) -> torch.Tensor:
        """Map embeddings ``(..., C)`` to embeddings of the same shape."""
        refined = self.mlp(texts)
        return refined if self.gamma is None else texts + self.gamma * refined
