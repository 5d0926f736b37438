"""Prompts that are learned."""

from pathlib import Path
from typing import Any, Literal

import torch
from torch import nn

from mmdiffperc.models.config_checks import Passes
from mmdiffperc.models.layers.sentence_encoder import SHORTEST, SentenceEncoder
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Component, Width, validated
from mmdiffperc.weights.sources import Source

from .base_prompts import BasePrompts, build_adapter, check_pooled


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
        pooled (str, optional): The pooled embedding of the images with SDXL: ``'learned'``, a vector per set that
            starts at zero, which diffusers' pipeline feeds in place of an empty negative prompt; or ``'empty'``, the
            embedding of the empty sentence, computed when weights are initialised. Default: ``'learned'``, which needs
            no text encoder.
        pooled_dims (int, optional): Width ``P`` of a pooled embedding. The backbone fills it in. Default: there are no
            pooled embeddings.
    """

    def __init__(
        self,
        num_prompts: Width,
        embed_dims: Width,
        num_refine_steps: Passes = 1,
        shared: bool = True,
        adapter: Component | None = None,
        pooled: Literal['learned', 'empty'] | None = None,
        pooled_dims: Width | None = None,
    ):
        super().__init__()
        check_pooled(pooled, pooled_dims)
        self.num_prompts = num_prompts
        self.needs_text_encoder = pooled == 'empty'
        num_sets = 1 if shared else num_refine_steps
        self.embeddings = nn.ParameterList(torch.randn(num_prompts, embed_dims) for _ in range(num_sets))
        self.adapters = nn.ModuleList(build_adapter(adapter, embed_dims) for _ in range(num_sets))
        if pooled_dims and not self.needs_text_encoder:
            self.pooled_embeddings = nn.Parameter(torch.zeros(num_sets, pooled_dims))
        else:
            self.register_buffer('pooled_embeddings', torch.zeros(1, pooled_dims) if pooled_dims else None)

    def init_embeddings(self, arch: str | None = None, checkpoint: str | Path | Source | None = None):
        """Compute the pooled embedding of the empty sentence, if it is used and a Stable Diffusion is given."""
        if self.needs_text_encoder and checkpoint:
            encoder = SentenceEncoder(arch, SHORTEST)
            encoder.load(checkpoint, with_tokenizers=True)
            self.pooled_embeddings.copy_(encoder.encode(['']).pooled)

    def forward(self, batch_size: int, condition: Any = None, step: int = 0) -> torch.Tensor:
        """Return the prompt embeddings ``(batch_size, K, C)`` of pass ``step``, the same for every image."""
        index = min(step, len(self.embeddings) - 1)  # a shared set is the only one
        return self.adapters[index](self.embeddings[index]).expand(batch_size, -1, -1)

    def embed_pooled(self, batch_size: int, condition: Any = None, step: int = 0) -> torch.Tensor | None:
        """Return the pooled embedding ``(batch_size, P)`` of pass ``step``, or None."""
        if self.pooled_embeddings is not None:
            return self.pooled_embeddings[min(step, len(self.pooled_embeddings) - 1)].expand(batch_size, -1)
