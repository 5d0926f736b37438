"""Tokens that textual inversion has learned, added to a text encoder."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, NotRequired

import torch
import torch.nn.functional as F
from pydantic import AfterValidator, Discriminator, Field, Tag
from safetensors import SafetensorError
from safetensors.torch import load_file as load_safetensors
from torch import nn
from transformers import PreTrainedModel
from typing_extensions import TypedDict

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.files import brief, quoted
from mmdiffperc.validation import STRICT, Expected, Location, options


class _File(TypedDict):
    __pydantic_config__ = STRICT
    file: Location
    num_vectors: NotRequired[Annotated[int, Field(ge=1, le=75), Expected('a number of vectors from 1 to 75')]]


def _one_word(token: str) -> str:
    if not token.strip() or any(character.isspace() for character in token):
        raise ValueError
    return token


_WHAT = 'a file, or dict(file=..., num_vectors=...)'
NewTokens = Annotated[
    dict[
        Annotated[str, AfterValidator(_one_word), Expected("a token without spaces, such as '<watercolor>'")],
        Annotated[
            Annotated[Location, Tag('path')] | Annotated[_File, options(_File.__annotations__, _WHAT), Tag('options')],
            Discriminator(lambda value: 'options' if isinstance(value, Mapping) else 'path'),
        ],
    ],
    Field(min_length=1),
    Expected("a dict of tokens and their files, such as {'<watercolor>': 'learned_embeds.bin'}"),
]


class TokenEmbeddings(nn.Embedding):
    """The embedding table of a text encoder with further tokens, whose vectors textual inversion has learned.

    From `Textual Inversion <https://arxiv.org/abs/2208.01618>`_. A token may have several vectors. In a sentence it is
    then replaced by as many tokens, ``'<sks> <sks>_1 <sks>_2'``, as in diffusers. A file holds the vectors ``(C,)`` or
    ``(n, C)`` by their token, the format of diffusers, or as ``string_to_param``, that of AUTOMATIC1111's web UI.

    Args:
        table (nn.Embedding): The table of the text encoder, which keeps its weights.
        tokens (dict): Files by token: ``{'<watercolor>': 'learned_embeds.bin'}``, or, for a token with several vectors,
            ``{'<sks>': dict(file='learned_embeds.safetensors', num_vectors=3)}``.
    """

    def __init__(self, table: nn.Embedding, tokens: Mapping):
        super().__init__(*table.weight.shape, _weight=table.weight)
        self.weight = table.weight
        entries = {token: entry if isinstance(entry, Mapping) else dict(file=entry) for token, entry in tokens.items()}
        self.files = {token: entry['file'] for token, entry in entries.items()}
        self.names = {token: _names(token, entry.get('num_vectors', 1)) for token, entry in entries.items()}
        self.register_buffer('added', torch.zeros(len(self.all_names), self.embedding_dim))

    @property
    def all_names(self) -> list[str]:
        """The tokens to add to the tokenizer, one for each vector."""
        return [name for names in self.names.values() for name in names]

    def expand(self, sentence: str) -> str:
        """Replace each token with several vectors in a sentence by as many tokens."""
        for token, names in self.names.items():
            if len(names) > 1:
                sentence = sentence.replace(token, ' '.join(names))
        return sentence

    def load(self):
        """Read the vectors from the files.

        Raises:
            FileNotFoundError: A file does not exist.
            ValueError: A file holds no vectors, or another number or width of them.
        """
        rows = [read_vectors(file, token) for token, file in self.files.items()]
        for (token, file), vectors in zip(self.files.items(), rows, strict=True):
            expected = len(self.names[token]), self.embedding_dim
            if vectors.shape != expected:
                raise ValueError(
                    f'{file}: expected {expected[0]} vectors of width {expected[1]} for the token {token!r}, got '
                    f'{len(vectors)} of width {vectors.shape[1]}. Set num_vectors, and check that the text encoder is '
                    'the one for which the token was learned'
                )
        self.added.copy_(torch.cat(rows))

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        """Embed tokens ``(B, K)`` as ``(B, K, C)``; those after the last of the table are the added ones."""
        known = self.num_embeddings
        embedded = F.embedding(tokens.clamp(max=known - 1), self.weight)
        added = F.embedding((tokens - known).clamp(min=0), self.added)
        return torch.where((tokens < known)[..., None], embedded, added.to(embedded))


@contextmanager
def plain_table(encoder: PreTrainedModel) -> Iterator[None]:
    """Give a text encoder its own embedding table, so that the weights of a Stable Diffusion fit."""
    extended = encoder.get_input_embeddings()
    plain = nn.Embedding(*extended.weight.shape, device='meta')
    plain.weight = extended.weight
    encoder.set_input_embeddings(plain)
    try:
        yield
    finally:
        encoder.set_input_embeddings(extended)


def read_vectors(file: str | Path, token: str) -> torch.Tensor:
    """Read the vectors ``(n, C)`` of a token; a file with a single token may have another name for it.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: It holds no such vectors.
    """
    path = Path(file).expanduser()
    if not path.is_file():
        raise FileNotFoundError(
            f'{file}: no such file; expected the learned vectors of the token {token!r}, such as learned_embeds.bin'
        )
    try:
        content = load_safetensors(path) if path.suffix == '.safetensors' else load_file(path)
    except (SafetensorError, RuntimeError) as error:
        raise ValueError(f'{file}: expected learned vectors, but the file is damaged or different ({error})') from error
    found = content.get('string_to_param', content) if isinstance(content, Mapping) else {}
    vectors = found.get(token) if token in found else next(iter(found.values()), None) if len(found) == 1 else None
    if not isinstance(vectors, torch.Tensor) or vectors.dim() not in (1, 2) or not vectors.is_floating_point():
        raise ValueError(
            f'{file}: expected the vectors of the token {token!r}, as diffusers saves them; the file holds '
            f'{quoted(found) if isinstance(found, Mapping) and found else brief(content)}'
        )
    return vectors.detach().reshape(-1, vectors.shape[-1])


def _names(token: str, num_vectors: int) -> list[str]:
    return [token, *(f'{token}_{index}' for index in range(1, num_vectors))]
