"""Prompts that are learned."""

from typing import Any

import torch
from torch import nn

from mmdiffperc.models.config_checks import Passes
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Component, Width, validated

from .base_prompts import BasePrompts, build_adapter


@MODELS.register_module()
@validated
class MetaPrompts(BasePrompts):
    """Prompt embeddings that are learned with the task; they start as ``N(0, 1)``, and no text is involved.

    From `MetaPrompts <https://arxiv.org/abs/2312.14733>`_, which shares one set among all passes of the U-Net for
    segmentation, and for depth has a separate set and adapter for each pass.

    Args:
        num_prompts (int): Number ``K`` of prompts.
        embed_dims (int): Width ``C`` of a prompt. The backbone fills it in.
        num_refine_steps (int): Number of passes of the U-Net. The backbone fills it in. Defaults to 1.
        shared (bool): Use one set in all passes, instead of one for each. Defaults to True.
        adapter (dict, optional): Config of a module that refines a set, such as ``dict(type='TextAdapter')``. Each set
            has a separate adapter.
    """

    def __init__(
        self,
        num_prompts: Width,
        embed_dims: Width,
        num_refine_steps: Passes = 1,
        shared: bool = True,
        adapter: Component | None = None,
    ):
        super().__init__()
        self.num_prompts = num_prompts
        num_sets = 1 if shared else num_refine_steps
        self.embeddings = nn.ParameterList(torch.randn(num_prompts, embed_dims) for _ in range(num_sets))
        self.adapters = nn.ModuleList(build_adapter(adapter, embed_dims) for _ in range(num_sets))

    def forward(self, batch_size: int, condition: Any = None, step: int = 0) -> torch.Tensor:
        """Return the prompt embeddings ``(batch_size, K, C)`` of pass ``step``, the same for every image."""
        index = min(step, len(self.embeddings) - 1)  # a shared set is the only one
        return self.adapters[index](self.embeddings[index]).expand(batch_size, -1, -1)
