"""Prompts made of one sentence for all images."""

from pathlib import Path
from typing import Annotated, Any

import torch
from pydantic import Field

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.files import brief
from mmdiffperc.models.config_checks import Arch
from mmdiffperc.models.layers.sentence_encoder import EMPTY, LONGEST, SentenceEncoder
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Component, Expected, Location, Width, validated
from mmdiffperc.weights.completeness import Completeness
from mmdiffperc.weights.sources import Source

from .base_prompts import BasePrompts, build_adapter
from .sentences import clean

AGGREGATED = 'aggregated'  # entry of a file of captions of EVP
Tokens = Annotated[int, Field(ge=EMPTY, le=LONGEST), Expected(f'{EMPTY} to {LONGEST} tokens')]
COMPLETENESS = Completeness(
    'A file of SDPose for ComfyUI holds no text encoder, and neither does a checkpoint that is converted from it: set '
    'model.backbone.prompts.checkpoint to the Stable Diffusion that the model was trained from',
    whole=True,
)


@MODELS.register_module()
@validated
class SharedTextPrompts(BasePrompts):
    """The tokens of one sentence, the same for all images: their hidden states in the text encoder.

    They are computed once, when weights are initialised, and checkpoints hold them. `SDPose
    <https://arxiv.org/abs/2509.24980>`_ takes the two tokens of the empty sentence, which mark beginning and end. `EVP
    <https://arxiv.org/abs/2312.08548>`_ predicts on images without a caption with the mean of the hidden states of many
    captions, which a file provides.

    Args:
        arch (str): Architecture, see :class:`DiffusionUNet`, which fills it in.
        embed_dims (int): Width ``C`` of a prompt. The backbone fills it in.
        text (str): The sentence. Defaults to the empty one.
        max_length (int): The sentence is cut and padded to this many tokens. Defaults to 2, those of the empty
            sentence.
        embeddings (str, optional): File with ready hidden states ``(K, C)`` or ``(1, K, C)``, ``K`` being
            ``max_length``, or with a dict that holds them as ``'aggregated'``, as EVP's files of captions do. It is
            read when weights are initialised. Cannot be combined with ``text`` or with SDXL.
        adapter (dict, optional): Config of a module that refines the prompts, such as ``dict(type='TextAdapter')``.
        checkpoint (str, optional): Source of the text encoder if a checkpoint of the model lacks the prompts, see
            :func:`.load_weights`.
        pooled_dims (int, optional): Width ``P`` of a pooled embedding with SDXL. The backbone fills it in.

    Raises:
        ValueError: A file of embeddings is combined with a sentence or with SDXL.
    """

    def __init__(
        self,
        arch: Arch,
        embed_dims: Width,
        text: str = '',
        max_length: Tokens = EMPTY,
        embeddings: Location | None = None,
        adapter: Component | None = None,
        checkpoint: Location | None = None,
        pooled_dims: Width | None = None,
    ):
        super().__init__()
        if embeddings and (text or pooled_dims):
            other = f'text={text!r}' if text else 'SDXL, which needs a pooled embedding too'
            raise ValueError(f'embeddings={str(embeddings)!r} cannot be combined with {other}: leave embeddings out')
        self.arch = arch
        self.text = clean(text)
        self.num_prompts = max_length
        self.file = embeddings
        self.checkpoint = checkpoint
        self.register_buffer('embeddings', torch.randn(max_length, embed_dims))
        self.register_buffer('pooled_embedding', torch.randn(pooled_dims) if pooled_dims else None)
        self.adapter = build_adapter(adapter, embed_dims)
        self.is_init = False
        self.register_load_state_dict_pre_hook(complete_embeddings)
        COMPLETENESS.attach(self)
        self.register_load_state_dict_post_hook(type(self).note_weights)

    @property
    def needs_text_encoder(self) -> bool:
        """Whether a text encoder computes the embeddings, because no file contains them."""
        return not self.file

    def init_embeddings(self, arch: str | None = None, checkpoint: str | Path | Source | None = None):
        """Read the embeddings from the file; without a file, compute them if a Stable Diffusion is given.

        Raises:
            ValueError: The file holds something else, or values that are not finite.
        """
        if self.file:
            self._read(load_file(self.file))
            self.note_weights()
        elif checkpoint:
            encoder = SentenceEncoder(arch or self.arch, self.num_prompts)
            encoder.load(checkpoint, with_tokenizers=True)
            self.encode(encoder.to(self.embeddings.device))

    @torch.no_grad()
    def encode(self, encoder: SentenceEncoder):
        """Compute the embeddings with a text encoder."""
        encoded = encoder.encode([self.text])
        self.embeddings.copy_(encoded.states[0])
        if self.pooled_embedding is not None:
            self.pooled_embedding.copy_(encoded.pooled[0])
        self.note_weights()

    def _read(self, found):
        if isinstance(found, dict) and AGGREGATED in found:
            found = found[AGGREGATED]
        if isinstance(found, torch.Tensor) and found.dim() == 3 and len(found) == 1:
            found = found[0]
        shape = tuple(self.embeddings.shape)
        if not isinstance(found, torch.Tensor) or found.shape != shape:
            got = tuple(found.shape) if isinstance(found, torch.Tensor) else brief(found)
            raise ValueError(
                f'{self.file}: expected hidden states of shape {shape}, or a dict that holds them as {AGGREGATED!r}, '
                f'got {got}. Check max_length and the arch, or leave `embeddings` out'
            )
        if not found.is_floating_point() or not found.isfinite().all():
            raise ValueError(f'{self.file}: expected finite, real hidden states: compute or get them again')
        self.embeddings.copy_(found)

    def note_weights(self, *args):
        """Record that the embeddings have been filled."""
        self.is_init = True

    def forward(self, batch_size: int, condition: Any = None, step: int = 0) -> torch.Tensor:
        """Return prompt embeddings ``(batch_size, K, C)``, the same for every image."""
        return self.adapter(self.embeddings).expand(batch_size, -1, -1)

    def embed_pooled(self, batch_size: int, condition: Any = None, step: int = 0) -> torch.Tensor | None:
        """Return the pooled embedding of the sentence ``(batch_size, P)`` with SDXL, otherwise None."""
        if self.pooled_embedding is not None:
            return self.pooled_embedding.expand(batch_size, -1)


def complete_embeddings(prompts: SharedTextPrompts, state_dict: dict[str, torch.Tensor], prefix: str, *args):
    """Add the embeddings to a checkpoint without them: the present ones, or those from ``prompts.checkpoint``.

    For ``prompts.register_load_state_dict_pre_hook``.

    Raises:
        RuntimeError: The text encoder cannot be loaded from ``prompts.checkpoint``.
    """
    if f'{prefix}embeddings' in state_dict:
        return
    if not prompts.is_init and prompts.checkpoint:
        try:
            prompts.init_embeddings(prompts.arch, prompts.checkpoint)
        except (OSError, RuntimeError, ValueError) as error:
            raise RuntimeError(
                'The checkpoint holds no prompts, and the text encoder cannot be loaded from '
                f'model.backbone.prompts.checkpoint={str(prompts.checkpoint)!r}: {error}'
            ) from error
    if prompts.is_init:
        state_dict.update(
            {prefix + name: value for name, value in prompts.named_buffers() if '.' not in name}
        )  # so that none is reported as missing
