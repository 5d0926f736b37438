"""The frozen text encoder for sentences that come with the images."""

import logging
import threading
from typing import Annotated

import torch
from mmengine.logging import print_log
from pydantic import Field
from torch import nn

from mmdiffperc.models.config_checks import Arch
from mmdiffperc.validation import Expected, Location, NonNegativeInt, validated
from mmdiffperc.weights.stable_diffusion import build_text_encoder, build_tokenizer, load_weights

SHORTEST = 3  # a token between the two that mark beginning and end
LONGEST = 77  # positions of CLIP's text encoders, in all versions of Stable Diffusion
MaxLength = Annotated[int, Field(ge=SHORTEST, le=LONGEST), Expected(f'{SHORTEST} to {LONGEST} tokens')]
NO_WEIGHTS = (
    'The text encoder has no weights: neither init_cfg loaded them nor does the checkpoint hold them (official ones of '
    'VPD do not, nor do those converted from them). Set model.backbone.prompts.checkpoint to the Stable Diffusion that '
    'the model was trained from'
)
# For loading weights, and for tokenizers, which keep the padding of a call in themselves. It stands here because a lock
# inside an encoder could be neither copied nor pickled.
_LOCK = threading.Lock()


@validated
class SentenceEncoder(nn.Module):
    """Turn sentences into the hidden states of their tokens, in the text encoder of Stable Diffusion.

    It is never trained: its parameters carry no gradient and it stays in evaluation mode. Nor is it ever random: a
    checkpoint without a text encoder leaves it as it is, and if it has no weights when the first sentence comes, they
    are loaded from ``checkpoint``, or an error asks for them.

    Args:
        arch (str): Architecture preset or folder, see :func:`.arch_folder`. The
            tokenizer is that of ``arch``, too.
        max_length (int): Sentences are cut and padded to this many tokens.
        checkpoint (str, optional): Where to load the weights from, see
            :func:`.load_weights`.
        cache_size (int): How many encoded sentences are remembered, in main memory. Defaults to 0.

    Raises:
        ValueError: ``max_length`` is out of range.
    """

    def __init__(
        self, arch: Arch, max_length: MaxLength, checkpoint: Location | None = None, cache_size: NonNegativeInt = 0
    ):
        super().__init__()
        self.tokenizer = build_tokenizer(arch)
        self.clip = build_text_encoder(arch)
        limit = self.clip.config.max_position_embeddings
        if not SHORTEST <= max_length <= limit:
            raise ValueError(f'max_length={max_length}: the text encoder of {arch} takes {SHORTEST} to {limit} tokens')
        self.max_length = max_length
        self.embed_dims = self.clip.config.hidden_size
        self.checkpoint = checkpoint
        self.cache_size = cache_size
        self._encoded = {}  # sentence -> (K, C)
        self._has_weights = self._has_reported = False
        self.requires_grad_(False)
        self.eval()
        self.register_load_state_dict_pre_hook(whole_or_nothing)

    def train(self, mode: bool = True):
        """Stay in evaluation mode, whatever ``mode`` says."""
        return super().train(False)

    def note_weights(self):
        """Forget what was encoded before, because the weights have been loaded."""
        self._has_weights = True
        self._encoded.clear()

    @torch.no_grad()
    def forward(self, sentences: list[str]) -> torch.Tensor:
        """Encode sentences to hidden states ``(B, K, C)`` of ``max_length`` tokens each, padding included.

        Raises:
            RuntimeError: There are no weights.
        """
        encoded = {sentence: self._encoded.get(sentence) for sentence in sentences}
        weight = self.clip.get_input_embeddings().weight  # replicas of DataParallel have no parameters to ask
        if new := [sentence for sentence, states in encoded.items() if states is None]:
            self._require_weights()
            states = self.clip(self._tokenize(new).to(weight.device)).last_hidden_state
            states = states.to('cpu', weight.dtype)  # autocast may have made them half precision
            encoded.update(zip(new, states, strict=True))
            self._remember(encoded)
        return torch.stack([encoded[sentence] for sentence in sentences]).to(weight.device)

    def _remember(self, encoded: dict[str, torch.Tensor]):
        # Other threads may do the same meanwhile: each step is atomic, and nobody relies on what it finds later.
        self._encoded.update(encoded)
        for sentence in list(self._encoded)[: -self.cache_size or None]:  # the oldest
            self._encoded.pop(sentence, None)

    def _tokenize(self, sentences: list[str]) -> torch.Tensor:
        options = dict(max_length=self.max_length, padding='max_length', truncation=True, return_tensors='pt')
        with _LOCK:
            for sentence in sentences:
                self._report_if_cut(sentence)
            return self.tokenizer(sentences, **options).input_ids

    def _report_if_cut(self, sentence: str):
        length = len(self.tokenizer(sentence, verbose=False).input_ids)
        if length > self.max_length and not self._has_reported:
            self._has_reported = True
            print_log(
                f'A sentence has {length} tokens, of which only the first {self.max_length} (max_length) are read; of '
                f'further such sentences nothing will be said: {sentence:.200}',
                logger='current',
                level=logging.WARNING,
            )

    def _require_weights(self):
        with _LOCK:
            if not self._has_weights:
                self._load_weights()

    def _load_weights(self):
        if not self.checkpoint:
            raise RuntimeError(NO_WEIGHTS)
        try:
            load_weights(self.checkpoint, text_encoder=self.clip)
        except (OSError, RuntimeError, ValueError) as error:
            raise RuntimeError(f'{NO_WEIGHTS}; from {self.checkpoint} they cannot be loaded: {error}') from error
        self.note_weights()
        print_log(f'No checkpoint held the text encoder; it was loaded from {self.checkpoint}', logger='current')


def whole_or_nothing(encoder: SentenceEncoder, state_dict: dict, prefix: str, *args):
    """Before a checkpoint is loaded: it may hold the text encoder or not, but not a part of it.

    Raises:
        RuntimeError: It holds a part only.
    """
    weights = {prefix + name: weight for name, weight in encoder.state_dict().items()}
    missing = [name for name in weights if name not in state_dict]
    if not missing:
        encoder.note_weights()
    elif len(missing) == len(weights):
        state_dict.update(weights)  # these stay, and are not reported as missing
    else:
        raise RuntimeError(
            f'The checkpoint lacks {len(missing)} of the {len(weights)} weights of the text encoder, first '
            f'{", ".join(missing[:3])}. Check that its config has the same arch as this one'
        )
