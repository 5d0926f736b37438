"""Prompts made of a sentence: one per token."""

from collections.abc import Sequence
from pathlib import Path

import torch

from mmdiffperc.models.config_checks import Arch
from mmdiffperc.models.layers.sentence_encoder import MaxLength, SentenceEncoder
from mmdiffperc.models.layers.token_embeddings import NewTokens
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Component, Location, NonNegativeInt, Width, validated
from mmdiffperc.weights.sources import Source

from .base_prompts import SENTENCE, BasePrompts, build_adapter
from .sentences import check_sentences, clean


@MODELS.register_module()
@validated
class TextPrompts(BasePrompts):
    """One sentence per image, as the hidden states of its tokens in the frozen text encoder of Stable Diffusion.

    As in the referring segmentation of `VPD <https://arxiv.org/abs/2303.02153>`_: all ``max_length`` tokens become
    prompts, including the padding, and none is masked. With SDXL, the hidden states and the pooled embedding of the
    sentence are those of diffusers' pipeline, except that its ``max_length`` is 77.

    Training loads the text encoder from the same source as the backbone's ``init_cfg``, and checkpoints hold it.
    Official checkpoints, and those converted from them, do not hold it; it is then loaded from ``checkpoint``.

    Args:
        arch (str): Architecture, see :class:`DiffusionUNet`, which fills it in. The tokenizer also comes from ``arch``.
        embed_dims (int): Width ``C`` of a prompt. The backbone fills it in.
        max_length (int): Sentences are cut and padded to this many tokens, two of which mark beginning and end. VPD
            uses 40 for RefCOCO and RefCOCO+, and 77 (CLIP's limit) for RefCOCOg. Defaults to 40.
        adapter (dict, optional): Config of a module that refines the prompts, such as ``dict(type='TextAdapter')``.
        checkpoint (str, optional): Source of the text encoder if a checkpoint of the model lacks it, see
            :func:`.load_weights`.
        cache_size (int): Number of encoded sentences to keep in the memory of the device: 120 kB each with SD 1.x and
            40 tokens, and 330 kB with SDXL, which encodes each sentence twice without this memory. Defaults to 512.
        new_tokens (dict, optional): Tokens learned by textual inversion, see :class:`.TokenEmbeddings`. Default: none.

    Raises:
        ValueError: ``max_length`` is out of range, or the text encoder is not ``embed_dims`` wide.
    """

    condition = SENTENCE
    needs_text_encoder = True
    takes_empty = False

    def __init__(
        self,
        arch: Arch,
        embed_dims: Width,
        max_length: MaxLength = 40,
        adapter: Component | None = None,
        checkpoint: Location | None = None,
        cache_size: NonNegativeInt = 512,
        new_tokens: NewTokens | None = None,
    ):
        super().__init__()
        self.text_encoder = SentenceEncoder(arch, max_length, checkpoint, cache_size, new_tokens)
        if self.text_encoder.embed_dims != embed_dims:
            raise ValueError(
                f'The text encoder of {arch} is {self.text_encoder.embed_dims} wide, but its U-Net takes prompts of '
                f'width {embed_dims}: check text_encoder/config.json and unet/config.json'
            )
        self.adapter = build_adapter(adapter, embed_dims)

    @property
    def num_prompts(self) -> int:
        """Number ``K`` of prompts, which is the number of tokens."""
        return self.text_encoder.max_length

    def init_embeddings(self, arch: str | None = None, checkpoint: str | Path | Source | None = None):
        """Load the text encoder of a Stable Diffusion, if one is given."""
        if checkpoint:
            self.text_encoder.load(checkpoint)

    def forward(
        self, batch_size: int, condition: Sequence[str] | torch.Tensor | None = None, step: int = 0
    ) -> torch.Tensor:
        """Encode and refine sentences.

        Args:
            batch_size (int): Number of images ``B``.
            condition (Sequence[str] | Tensor): One sentence for each image; or, except with SDXL, ready hidden states
                ``(B, K, C)``.
            step (int): Not used.

        Returns:
            Tensor: Prompt embeddings ``(B, K, C)``.

        Raises:
            TypeError: A sentence is missing, or is not a string.
            ValueError: A sentence is empty or not in Latin script, the number of sentences differs from the number of
                images, or the hidden states have another shape.
            RuntimeError: The text encoder has no weights.
        """
        if isinstance(condition, torch.Tensor):
            expected = batch_size, self.num_prompts, self.text_encoder.embed_dims
            if condition.shape != expected:
                raise ValueError(f'Expected hidden states of shape {expected}, got {tuple(condition.shape)}')
            return self.adapter(condition)
        return self.adapter(self.text_encoder(self._clean(condition, batch_size)))

    def embed_pooled(
        self, batch_size: int, condition: Sequence[str] | torch.Tensor | None = None, step: int = 0
    ) -> torch.Tensor | None:
        """Return the pooled embedding of each sentence ``(B, P)`` with SDXL, otherwise None.

        Raises:
            TypeError: A sentence is missing, or the condition is ready hidden states.
        """
        if self.text_encoder.clip_2 is not None:
            return self.text_encoder.encode(self._clean(condition, batch_size)).pooled

    def _clean(self, sentences, batch_size) -> list[str]:
        """Return cleaned sentences after a check that there is one for each image."""
        check_sentences(sentences, batch_size, self.takes_empty)
        return [clean(sentence) for sentence in sentences]
