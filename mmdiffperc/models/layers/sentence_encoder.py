"""The frozen text encoder for sentences that come with the images."""

from pathlib import Path
from typing import Annotated

import torch
from mmengine.logging import MMLogger
from pydantic import Field
from torch import nn

from mmdiffperc.models.config_checks import Arch
from mmdiffperc.validation import Expected, Location, NonNegativeInt, validated
from mmdiffperc.weights.architectures import build_text_encoder, build_tokenizer
from mmdiffperc.weights.completeness import Completeness
from mmdiffperc.weights.loading import load_weights
from mmdiffperc.weights.sources import Source

SHORTEST = 3  # a token between the two that mark beginning and end
LONGEST = 77  # positions of CLIP's text encoders, in all versions of Stable Diffusion
MaxLength = Annotated[int, Field(ge=SHORTEST, le=LONGEST), Expected(f'{SHORTEST} to {LONGEST} tokens')]
COMPLETENESS = Completeness(
    'Official checkpoints of VPD hold no text encoder, and neither do checkpoints converted from them: set '
    'model.backbone.prompts.checkpoint to the Stable Diffusion that the model was trained from',
    whole=True,
)


@validated
class SentenceEncoder(nn.Module):
    """Turn sentences into the hidden states of their tokens, in the text encoder of Stable Diffusion.

    The encoder is frozen: its parameters carry no gradient and it stays in evaluation mode. Its weights come from
    :meth:`load` or from a checkpoint of the model. If that checkpoint holds no text encoder, it is loaded from
    ``checkpoint`` at the same time.

    Args:
        arch (str): Architecture preset or folder, see :func:`.arch_folder`. The tokenizer also comes from ``arch``.
        max_length (int): Sentences are cut and padded to this many tokens.
        checkpoint (str, optional): Source of the weights if a checkpoint of the model lacks them, see
            :func:`.load_weights`.
        cache_size (int): Number of encoded sentences to keep in main memory. Defaults to 0.

    Attributes:
        is_init (bool): Whether the weights have been loaded.

    Raises:
        ValueError: The text encoder of ``arch`` does not take ``max_length`` tokens.
    """

    def __init__(
        self, arch: Arch, max_length: MaxLength, checkpoint: Location | None = None, cache_size: NonNegativeInt = 0
    ):
        super().__init__()
        self.tokenizer = build_tokenizer(arch)
        self.tokenizer('')  # resets options that its file may set; later calls change nothing, so threads can share it
        self.clip = build_text_encoder(arch)
        limit = self.clip.config.max_position_embeddings
        if not SHORTEST <= max_length <= limit:
            raise ValueError(f'max_length={max_length}: the text encoder of {arch} takes {SHORTEST} to {limit} tokens')
        self.max_length = max_length
        self.embed_dims = self.clip.config.hidden_size
        self.checkpoint = checkpoint
        self.cache_size = cache_size
        self.is_init = False
        self._encoded = {}  # sentence -> (K, C)
        self._has_reported = False
        self.requires_grad_(False)
        self.eval()
        self.register_load_state_dict_pre_hook(complete_text_encoder)
        COMPLETENESS.attach(self)
        self.register_load_state_dict_post_hook(type(self).note_weights)

    def train(self, mode: bool = True):
        """Stay in evaluation mode for any ``mode``."""
        return super().train(False)

    def load(self, checkpoint: str | Path | Source):
        """Load the weights from a Stable Diffusion, see :func:`.load_weights`."""
        load_weights(checkpoint, text_encoder=self.clip)
        self.note_weights()

    def note_weights(self, *args):
        """Record that weights have been loaded, and clear the cache, which other weights have filled."""
        self.is_init = True
        self._encoded.clear()

    @torch.no_grad()
    def forward(self, sentences: list[str]) -> torch.Tensor:
        """Encode sentences to hidden states ``(B, K, C)`` of ``max_length`` tokens each, padding included.

        Raises:
            RuntimeError: The weights have not been loaded.
        """
        if not self.is_init:
            raise RuntimeError(
                'The text encoder has no weights: load a checkpoint of the model, or set init_cfg=dict('
                "type='Pretrained', checkpoint=...) and call init_weights()"
            )
        encoded = {sentence: self._encoded.get(sentence) for sentence in sentences}
        weight = self.clip.get_input_embeddings().weight  # replicas of DataParallel have no parameters to ask
        if new := [sentence for sentence, states in encoded.items() if states is None]:
            tokens = torch.tensor([self._tokenize(sentence) for sentence in new], device=weight.device)
            states = self.clip(tokens).last_hidden_state.to('cpu', weight.dtype)  # autocast may have lowered the dtype
            encoded.update(zip(new, states, strict=True))
            self._remember(encoded)
        return torch.stack([encoded[sentence] for sentence in sentences]).to(weight.device)

    def _remember(self, encoded: dict[str, torch.Tensor]):
        # Other threads may do the same meanwhile: each step is atomic, and `encoded` keeps what this thread needs.
        self._encoded.update(encoded)
        for sentence in list(self._encoded)[: -self.cache_size or None]:  # the oldest
            self._encoded.pop(sentence, None)

    def _tokenize(self, sentence: str) -> list[int]:
        # Cut and pad here, because the tokenizer stores such options, where they would affect other threads.
        tokens = self.tokenizer(sentence, verbose=False).input_ids
        if len(tokens) > self.max_length and not self._has_reported:
            self._has_reported = True
            MMLogger.get_current_instance().warning(
                f'A sentence has {len(tokens)} tokens; only the first {self.max_length} (max_length) are used. Further '
                f'sentences that are too long will not be reported: {sentence:.200}'
            )
        if len(tokens) > self.max_length:
            tokens = [*tokens[: self.max_length - 1], tokens[-1]]
        return tokens + [self.tokenizer.pad_token_id] * (self.max_length - len(tokens))


def complete_text_encoder(encoder: SentenceEncoder, state_dict: dict[str, torch.Tensor], prefix: str, *args):
    """Add a text encoder to a checkpoint without one: the present weights, or the ones from ``encoder.checkpoint``.

    For ``encoder.register_load_state_dict_pre_hook``.

    Raises:
        RuntimeError: The weights cannot be loaded from ``encoder.checkpoint``.
    """
    if any(name.startswith(prefix) for name in state_dict):
        return
    if not encoder.is_init and encoder.checkpoint:
        try:
            encoder.load(encoder.checkpoint)
        except (OSError, RuntimeError, ValueError) as error:
            raise RuntimeError(
                'The checkpoint holds no text encoder, and it cannot be loaded from model.backbone.prompts.checkpoint='
                f'{str(encoder.checkpoint)!r}: {error}'
            ) from error
        logger = MMLogger.get_current_instance()
        logger.info(f'The checkpoint holds no text encoder; it was loaded from {encoder.checkpoint}')
    if encoder.is_init:
        state_dict.update(encoder.state_dict(prefix=prefix))  # so that no weight is reported as missing
