"""Prompts that are learned."""

from collections.abc import Callable

import torch
from torch import nn

from mmdiffperc.models.config_checks import Passes
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Component, Width, validated


@MODELS.register_module()
@validated
class MetaPrompts(nn.Module):
    """Prompt embeddings that are learned with the task; they start as ``N(0, 1)``, and no text is involved.

    From `MetaPrompts <https://arxiv.org/abs/2312.14733>`_, which shares one set among all passes of the U-Net for
    segmentation, and has a set with an adapter of its own for each pass for depth.

    Args:
        num_prompts (int): Number ``K`` of prompts.
        embed_dims (int): Width ``C`` of a prompt. The backbone fills it in.
        num_refine_steps (int): Number of passes of the U-Net. The backbone fills it in. Defaults to 1.
        shared (bool): Use one set in all passes, instead of one for each. Defaults to True.
        adapter (dict, optional): Config of a module that refines a set, such as ``dict(type='TextAdapter')``; each set
            gets its own.
    """

    by_step = True
    needs_text_encoder = False

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
        self.adapters = nn.ModuleList(
            MODELS.build(adapter, default_args=dict(embed_dims=embed_dims)) if adapter else nn.Identity()
            for _ in range(num_sets)
        )

    def init_embeddings(self, load_text_encoder: Callable | None = None):
        """Keep the random start."""

    def forward(self, batch_size: int, step: int = 0) -> torch.Tensor:
        """Prompt embeddings ``(batch_size, K, C)`` of pass number ``step``, the same for every image."""
        index = min(step, len(self.embeddings) - 1)  # a shared set is the only one
        return self.adapters[index](self.embeddings[index]).expand(batch_size, -1, -1)
