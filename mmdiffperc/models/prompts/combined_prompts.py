"""Several kinds of prompts at once."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import torch
from torch import nn

from mmdiffperc.models.config_checks import Arch, Passes
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Component, Expected, Listed, Width, validated
from mmdiffperc.weights.sources import Source

from .base_prompts import BasePrompts, build_prompts

Parts = Annotated[
    Listed[Component], Expected("a list of configs of prompts, such as [dict(type='MetaPrompts', num_prompts=8)]")
]


@MODELS.register_module()
@validated
class CombinedPrompts(BasePrompts):
    """The prompts of several kinds, one after the other along the axis of the prompts.

    `TADP <https://arxiv.org/abs/2310.00031>`_ joins captions and class names in this way. A pooled embedding, which
    SDXL needs, comes from the first part.

    Args:
        parts (Sequence[dict]): Configs of prompts. Parts that need a condition must need the same one.
        arch (str): Architecture. The backbone fills it in.
        embed_dims (int): Width ``C`` of a prompt. The backbone fills it in.
        num_refine_steps (int): Number of passes of the U-Net. The backbone fills it in. Defaults to 1.
        pooled_dims (int, optional): Width of a pooled embedding. The backbone fills it in.

    Raises:
        ValueError: The parts need different conditions.
    """

    def __init__(
        self,
        parts: Parts,
        arch: Arch,
        embed_dims: Width,
        num_refine_steps: Passes = 1,
        pooled_dims: Width | None = None,
    ):
        super().__init__()
        known = dict(arch=arch, embed_dims=embed_dims, num_refine_steps=num_refine_steps, pooled_dims=pooled_dims)
        self.parts = nn.ModuleList(build_prompts(part, **known) for part in parts)
        conditions = list(dict.fromkeys(part.condition for part in self.parts if part.condition))
        if len(conditions) > 1:
            raise ValueError(
                f'parts: expected prompts that need the same condition, or none, but these need '
                f'{" and ".join(conditions)}: leave one of them out'
            )
        self.condition = conditions[0] if conditions else None
        self.num_prompts = sum(part.num_prompts for part in self.parts)
        self.needs_text_encoder = any(part.needs_text_encoder for part in self.parts)

    def init_embeddings(self, arch: str | None = None, checkpoint: str | Path | Source | None = None):
        """Initialise all parts."""
        for part in self.parts:
            part.init_embeddings(arch, checkpoint)

    def forward(self, batch_size: int, condition: Sequence | torch.Tensor | None = None, step: int = 0) -> torch.Tensor:
        """Return the prompt embeddings of all parts ``(batch_size, K, C)``."""
        return torch.cat([part(batch_size, *_for(part, condition), step=step) for part in self.parts], dim=1)

    def embed_pooled(self, batch_size: int, condition: Any = None, step: int = 0) -> torch.Tensor | None:
        """Return the pooled embedding of the first part, or None."""
        first = self.parts[0]
        return first.embed_pooled(batch_size, *_for(first, condition), step=step)


def _for(part: BasePrompts, condition) -> tuple:
    return (condition,) if part.condition else ()
