"""The text side of Stable Diffusion: sentences in, embeddings out."""

from contextlib import nullcontext
from pathlib import Path
from typing import Annotated, NamedTuple

import torch
from mmengine.logging import MessageHub, MMLogger
from pydantic import Field
from torch import nn
from transformers import CLIPTokenizer

from mmdiffperc.files import quoted
from mmdiffperc.models.config_checks import Arch
from mmdiffperc.validation import Expected, Location, NonNegativeInt, PositiveInt, validated
from mmdiffperc.weights.architectures import TOKENIZERS, build_text_encoder, build_tokenizer, text_parts
from mmdiffperc.weights.completeness import Completeness
from mmdiffperc.weights.loading import load_weights
from mmdiffperc.weights.sources import Source

from .token_embeddings import NewTokens, TokenEmbeddings, plain_table

EMPTY = 2  # tokens of an empty sentence: those that mark beginning and end
SHORTEST = 3  # one token between them
LONGEST = 77  # positions of CLIP's text encoders, in all versions of Stable Diffusion
COUNTER = 'train/cut_sentences'  # mmengine logs what has this prefix
MaxLength = Annotated[int, Field(ge=SHORTEST, le=LONGEST), Expected(f'{SHORTEST} to {LONGEST} tokens')]
COMPLETENESS = Completeness(
    'Official checkpoints of VPD hold no text encoder, and neither do checkpoints converted from them: set '
    'model.backbone.prompts.checkpoint to the Stable Diffusion that the model was trained from',
    whole=True,
)


class Encoded(NamedTuple):
    """What the text encoders compute from sentences.

    Args:
        states (Tensor): Hidden states of all tokens ``(B, K, C)``, which the U-Net reads as prompts.
        summary (Tensor): One embedding per sentence ``(B, C)``, for a prompt that consists of one embedding.
        pooled (Tensor): Pooled embeddings ``(B, P)``, which the U-Net of SDXL reads in addition. Without SDXL, ``P`` is
            0.
    """

    states: torch.Tensor
    summary: torch.Tensor
    pooled: torch.Tensor


@validated
class SentenceEncoder(nn.Module):
    """Turn sentences into embeddings, with the text encoders of a Stable Diffusion and their tokenizers.

    - SD 1.x and 2.x have one text encoder. The hidden states are its last ones, after the final norm. The summary of a
      sentence is the hidden state of its end-of-text token, CLIP's pooled output.
    - SDXL has two. The hidden states are the second-to-last ones of both, side by side, without a final norm, and the
      pooled embedding is the projected output of the second, as in diffusers' ``StableDiffusionXLPipeline``. SDXL does
      not define a summary. Here it is the hidden state of the end-of-text token, too, so that it has the distribution
      of the hidden states on which the U-Net was trained.

    The encoders are frozen until :meth:`unfreeze` is called: their parameters carry no gradient and they stay in
    evaluation mode. Their weights come from :meth:`load` or from a checkpoint of the model. If that checkpoint holds no
    text encoder, it is loaded from ``checkpoint`` at the same time.

    Args:
        arch (str): Architecture preset or folder, see :func:`.arch_folder`. The tokenizers also come from ``arch``.
        max_length (int): Sentences are cut and padded to this many tokens.
        checkpoint (str, optional): Source of the weights if a checkpoint of the model lacks them, see
            :func:`.load_weights`.
        cache_size (int): Number of encoded sentences to keep in the memory of the device. Defaults to 0.
        new_tokens (dict, optional): Tokens learned by textual inversion and their files, see :class:`.TokenEmbeddings`;
            not for SDXL. The files are read when weights are loaded. Default: none.

    Attributes:
        embed_dims (int): Width ``C`` of the hidden states.
        is_init (bool): Whether the weights have been loaded.
        trained (bool): Whether the encoder is trained.
        num_cut (int): Number of sentences that have been cut. The log shows it as ``cut_sentences``.

    Raises:
        ValueError: A text encoder of ``arch`` does not take ``max_length`` tokens; or there are new tokens for SDXL.
    """

    def __init__(
        self,
        arch: Arch,
        max_length: PositiveInt,
        checkpoint: Location | None = None,
        cache_size: NonNegativeInt = 0,
        new_tokens: NewTokens | None = None,
    ):
        super().__init__()
        self.arch = arch
        parts = text_parts(arch)
        self.tokenizers = {part: build_tokenizer(arch, part=part) for part in parts}
        for tokenizer in self.tokenizers.values():
            tokenizer('')  # resets options that its file may set; later calls change nothing, so threads can share it
        self.clip = build_text_encoder(arch)
        self.clip_2 = build_text_encoder(arch, parts[1]) if len(parts) > 1 else None
        limit = min(encoder.config.max_position_embeddings for encoder in self.encoders.values())
        if not EMPTY <= max_length <= limit:
            raise ValueError(f'max_length={max_length}: the text encoder of {arch} takes {EMPTY} to {limit} tokens')
        self.max_length = max_length
        self.embed_dims = sum(encoder.config.hidden_size for encoder in self.encoders.values())
        self.checkpoint = checkpoint
        self.cache_size = cache_size
        self.is_init = False
        self.num_cut = 0
        if new_tokens:
            self._extend(new_tokens)
        self._encoded = {}  # device and sentence -> its Encoded, without the batch
        self.trained = False
        self.requires_grad_(False)
        self.eval()
        self.register_load_state_dict_pre_hook(complete_text_encoder)
        COMPLETENESS.attach(self)
        self.register_load_state_dict_post_hook(type(self).note_weights)

    @property
    def encoders(self) -> dict[str, nn.Module]:
        """The text encoders, by part."""
        return dict(zip(self.tokenizers, (self.clip, self.clip_2), strict=False))

    def train(self, mode: bool = True):
        """Set the training mode; a frozen encoder stays in evaluation mode."""
        return super().train(mode and self.trained)

    def unfreeze(self):
        """Train the encoder: gradients flow through :meth:`encode`, and no encoded sentence is kept.

        Raises:
            ValueError: There are two encoders, whose last layers the U-Net of SDXL does not use.
        """
        if self.clip_2 is not None:
            raise ValueError(
                'frozen: the text encoders of SDXL cannot be trained, because its U-Net does not use their last '
                "layers: add 'text_encoder' to frozen"
            )
        self.trained = True
        self.cache_size = 0
        self.requires_grad_(True)

    def load(self, checkpoint: str | Path | Source, with_tokenizers: bool = False):
        """Load the weights from a Stable Diffusion, see :func:`.load_weights`.

        Args:
            checkpoint (str | Path | Source): The Stable Diffusion.
            with_tokenizers (bool): Take its tokenizers as well, if it has any. Checkpoints of the model do not hold
                them, so this is for embeddings that are computed only once. Defaults to False.
        """
        extra = [TOKENIZERS[part] for part in self.tokenizers] if with_tokenizers else []
        with plain_table(self.clip) if self.token_embeddings else nullcontext():
            source = load_weights(checkpoint, extra=extra, **self.encoders)
        if with_tokenizers:
            self.tokenizers = {
                part: build_tokenizer(self.arch, source.tokenizer(part), part) for part in self.tokenizers
            }
        if self.token_embeddings:
            self.token_embeddings.load()
            if with_tokenizers:
                self._add_tokens()
        self.note_weights()

    @property
    def token_embeddings(self) -> TokenEmbeddings | None:
        """The embedding table with the new tokens, if there are any."""
        table = self.clip.get_input_embeddings()
        return table if isinstance(table, TokenEmbeddings) else None

    def _extend(self, new_tokens: dict):
        if self.clip_2 is not None:
            raise ValueError(
                f'new_tokens={list(new_tokens)}: SDXL is not supported; expected arch with one text encoder'
            )
        self.clip.set_input_embeddings(TokenEmbeddings(self.clip.get_input_embeddings(), new_tokens))
        self._add_tokens()

    def _add_tokens(self):
        names, tokenizer = self.token_embeddings.all_names, self.tokenizers['text_encoder']
        if known := set(names) & set(tokenizer.get_vocab()):
            raise ValueError(f'new_tokens: {quoted(known)} are in the vocabulary; choose other names, such as <night>')
        tokenizer.add_tokens(names)

    def note_weights(self, *args):
        """Record that weights have been loaded, and clear the cache, which other weights have filled."""
        self.is_init = True
        self._encoded.clear()

    def forward(self, sentences: list[str]) -> torch.Tensor:
        """Encode sentences to hidden states ``(B, K, C)`` of ``max_length`` tokens each, padding included.

        Raises:
            RuntimeError: The weights have not been loaded.
        """
        return self.encode(sentences).states

    def encode(self, sentences: list[str]) -> Encoded:
        """Encode sentences; with a frozen encoder, look them up if they have been encoded before.

        Raises:
            RuntimeError: The weights have not been loaded.
        """
        if not self.is_init:
            raise RuntimeError(
                'The text encoder has no weights: load a checkpoint of the model, or set init_cfg=dict('
                "type='Pretrained', checkpoint=...) and call init_weights()"
            )
        if self.trained:
            return self._compute(sentences, self.clip.get_input_embeddings().weight.device)
        weight = self.clip.get_input_embeddings().weight  # replicas of DataParallel have no parameters to ask
        encoded = {sentence: self._encoded.get((weight.device, sentence)) for sentence in sentences}
        if new := [sentence for sentence, known in encoded.items() if known is None]:
            computed = self._compute(new, weight.device)
            rows = (each.to(weight.dtype) for each in computed)  # autocast may have lowered the dtype
            encoded.update(zip(new, map(Encoded, *rows), strict=True))
            self._remember(encoded, weight.device)
        columns = zip(*(encoded[sentence] for sentence in sentences), strict=True)
        return Encoded(*map(torch.stack, columns))

    def _compute(self, sentences: list[str], device: torch.device) -> Encoded:
        with torch.set_grad_enabled(self.trained and torch.is_grad_enabled()):
            return self._encode_tokens(sentences, device)

    def _encode_tokens(self, sentences: list[str], device: torch.device) -> Encoded:
        tokens = {
            part: torch.tensor([self._tokenize(sentence, tokenizer) for sentence in sentences])
            for part, tokenizer in self.tokenizers.items()
        }
        tokens = {part: ids.to(device, non_blocking=True) for part, ids in tokens.items()}
        rows = torch.arange(len(sentences), device=device)
        if self.clip_2 is None:
            (ids,) = tokens.values()
            states, summary = self.clip(ids).to_tuple()
            if self.token_embeddings:  # whose ids are higher than the one for which CLIP's pooling may look
                summary = states[rows, _end_of_text(ids, self.tokenizers['text_encoder'].eos_token_id)]
            return Encoded(states, summary, summary[:, :0])
        states, summaries = [], []
        for part, encoder in self.encoders.items():
            output = encoder(tokens[part], output_hidden_states=True)
            states.append(output.hidden_states[-2])
            summaries.append(states[-1][rows, _end_of_text(tokens[part], encoder.config.eos_token_id)])
        return Encoded(torch.cat(states, dim=-1), torch.cat(summaries, dim=-1), output.text_embeds)

    def _remember(self, encoded: dict[str, Encoded], device: torch.device):
        # Other threads may do the same meanwhile: each step is atomic, and `encoded` keeps what this thread needs.
        self._encoded.update({(device, sentence): each for sentence, each in encoded.items()})
        for oldest in list(self._encoded)[: -self.cache_size or None]:
            self._encoded.pop(oldest, None)

    def _tokenize(self, sentence: str, tokenizer: CLIPTokenizer) -> list[int]:
        # Cut and pad here, because the tokenizer stores such options, where they would affect other threads.
        if self.token_embeddings:
            sentence = self.token_embeddings.expand(sentence)
        tokens = tokenizer(sentence, verbose=False).input_ids
        if len(tokens) > self.max_length:
            self._count_cut(sentence, len(tokens))
            tokens = [*tokens[: self.max_length - 1], tokens[-1]]
        return tokens + [tokenizer.pad_token_id] * (self.max_length - len(tokens))

    def _count_cut(self, sentence: str, num_tokens: int):
        if not self.num_cut:
            MMLogger.get_current_instance().warning(
                f'A sentence has {num_tokens} tokens; only the first {self.max_length} (max_length) are used. Further '
                f'sentences that are too long are counted in the log (cut_sentences): {sentence:.200}'
            )
        self.num_cut += 1
        MessageHub.get_current_instance().update_scalar(COUNTER, self.num_cut)


def _end_of_text(tokens: torch.Tensor, eos_token_id: int) -> torch.Tensor:
    """Return the position of the first end-of-text token of each row, as CLIP's pooling finds it."""
    # Configs from before transformers 4.31 name 2, a wrong token. There the right one has the highest id.
    is_end = tokens if eos_token_id == 2 else (tokens == eos_token_id).int()
    return is_end.argmax(dim=-1)


def complete_text_encoder(encoder: SentenceEncoder, state_dict: dict[str, torch.Tensor], prefix: str, *args):
    """Add a text encoder to a checkpoint without one: the present weights, or the ones from ``encoder.checkpoint``.

    For ``encoder.register_load_state_dict_pre_hook``.

    Vectors of new tokens that a checkpoint lacks come from their files, so that they can be added for a test.

    Raises:
        RuntimeError: The weights cannot be loaded from ``encoder.checkpoint``.
    """
    if any(name.startswith(prefix) for name in state_dict):
        _complete_tokens(encoder, state_dict, prefix)
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


def _complete_tokens(encoder: SentenceEncoder, state_dict: dict[str, torch.Tensor], prefix: str):
    table = encoder.token_embeddings
    if table is None:
        return
    (name,) = (name for name, buffer in encoder.named_buffers() if buffer is table.added)
    if prefix + name not in state_dict:
        table.load()
        state_dict[prefix + name] = table.added
