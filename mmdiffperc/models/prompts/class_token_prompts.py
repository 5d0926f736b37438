"""Prompts made of the tokens of class names."""

from pathlib import Path
from typing import Any

import torch

from mmdiffperc.models.config_checks import Arch
from mmdiffperc.models.layers.sentence_encoder import EMPTY, LONGEST, SentenceEncoder
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Component, Width, validated
from mmdiffperc.weights.architectures import build_tokenizer, text_parts
from mmdiffperc.weights.sources import Source

from .base_prompts import BasePrompts, build_adapter
from .class_prompts import ClassNames, resolve_classes
from .sentences import clean


@MODELS.register_module()
@validated
class ClassTokenPrompts(BasePrompts):
    """The hidden states of the tokens of class names, each name encoded on its own.

    "ClassEmbs" of `TADP <https://arxiv.org/abs/2310.00031>`_: one token for the beginning, followed by the tokens of
    every name, without the token for the end and without padding. The 21 names of Pascal VOC make 24 prompts. As with
    :class:`ClassPrompts`, the embeddings are computed once, when weights are initialised, and checkpoints hold them.

    Args:
        classes (str | Sequence[str]): Class names, or a data set that has them, see :class:`ClassPrompts`.
        arch (str): Architecture. The backbone fills it in.
        embed_dims (int): Width ``C`` of a prompt. The backbone fills it in.
        adapter (dict, optional): Config of a module that refines the prompts. Default: none.

    Raises:
        ValueError: ``classes`` has an invalid value, a name is too long, or ``arch`` has two text encoders.
    """

    needs_text_encoder = True

    def __init__(self, classes: ClassNames, arch: Arch, embed_dims: Width, adapter: Component | None = None):
        super().__init__()
        self.classes = resolve_classes(classes)
        self.names = [clean(name).replace('_', ' ') for name in self.classes]
        if len(text_parts(arch)) > 1:
            raise ValueError(f'arch={arch!r}: ClassTokenPrompts needs a single text encoder; use ClassPrompts for SDXL')
        tokenizer = build_tokenizer(arch)
        self.counts = [len(tokenizer(name, verbose=False).input_ids) - EMPTY for name in self.names]
        if (longest := max(self.counts)) + EMPTY > LONGEST:
            name = self.classes[self.counts.index(longest)]
            raise ValueError(f'classes: {name!r:.100} has {longest} tokens; expected at most {LONGEST - EMPTY}')
        self.num_prompts = 1 + sum(self.counts)
        self.register_buffer('embeddings', torch.randn(self.num_prompts, embed_dims))
        self.adapter = build_adapter(adapter, embed_dims)

    def init_embeddings(self, arch: str | None = None, checkpoint: str | Path | Source | None = None):
        """Compute the embeddings if a Stable Diffusion is given."""
        if checkpoint:
            encoder = SentenceEncoder(arch, max(self.counts) + EMPTY)
            encoder.load(checkpoint)
            self.encode(encoder.to(self.embeddings.device))

    @torch.no_grad()
    def encode(self, encoder: SentenceEncoder):
        """Compute the embeddings with a text encoder."""
        states = encoder(self.names)  # (classes, tokens, C)
        rows = [row[1 : 1 + count] for row, count in zip(states, self.counts, strict=True)]
        self.embeddings.copy_(torch.cat([states[0, :1], *rows]))

    def forward(self, batch_size: int, condition: Any = None, step: int = 0) -> torch.Tensor:
        """Return prompt embeddings ``(batch_size, K, C)``, the same for every image."""
        return self.adapter(self.embeddings).expand(batch_size, -1, -1)
