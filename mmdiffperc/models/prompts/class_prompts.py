"""Prompts made of class names."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import torch
from mmengine.logging import MMLogger
from pydantic import AfterValidator

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.compat.dataset_content import tuple_of_one
from mmdiffperc.files import brief, quoted
from mmdiffperc.models.layers.sentence_encoder import MaxLength, SentenceEncoder
from mmdiffperc.progress import progress
from mmdiffperc.registry import MODELS, find_dataset, is_dotted
from mmdiffperc.validation import Component, Expected, Listed, Location, Text, Width, validated
from mmdiffperc.weights.sources import Source

from .base_prompts import BasePrompts, build_adapter, check_pooled
from .sentences import UNREADABLE, clean, is_readable

PHOTO = 'a photo of a {}'


def imagenet_templates() -> list[str]:
    """Return CLIP's 80 sentences for a class of ImageNet, such as ``'a photo of a {}.'``."""
    return (Path(__file__).parents[2] / 'assets' / 'imagenet_templates.txt').read_text().splitlines()


def resolve_classes(classes: str | Sequence[str]) -> tuple[str, ...]:
    """Return class names from a list, the name of a registered dataset, or a dataset alias of mmseg such as ``'ade'``.

    Raises:
        ValueError: No dataset has this name, as with ``('tram')``, which is a string and not a tuple; or the dataset
            has no class names.
    """
    if not isinstance(classes, str):
        return tuple(classes)
    if (dataset := find_dataset(classes)) is not None:
        return _classes_of(dataset, classes)
    if (names := _classes_of_alias(classes)) is not None:
        return names
    raise ValueError(
        f"classes={brief(classes)}: expected a list of class names, a registered dataset such as 'ADE20KDataset', or "
        "an alias of mmseg, if it is installed, such as 'ade'. This is one string, and no dataset has this name. "
        f'{tuple_of_one(classes)}'
    )


def names_dataset(name: str, scope: str | None = None) -> bool:
    """Return whether a name stands for the classes of a dataset, and not for a class.

    Args:
        name (str): The name. The path of a Python object always counts as a dataset.
        scope (str, optional): The host whose datasets are searched. Default: the current one.
    """
    return is_dotted(name) or find_dataset(name, scope) is not None or _classes_of_alias(name) is not None


def _classes_of(dataset: type, name: str) -> tuple[str, ...]:
    names = getattr(dataset, 'METAINFO', {}).get('classes')
    if isinstance(names, str):
        raise ValueError(f'{name}: the classes in its METAINFO are one string, {brief(names)}. {tuple_of_one(names)}')
    if not names:
        raise ValueError(f'{name} has no classes in its METAINFO: give ClassPrompts the list of class names')
    return tuple(names)


def _classes_of_alias(alias: str) -> tuple[str, ...] | None:
    try:
        from mmseg.utils import get_classes  # the aliases are defined by mmseg, which may be missing

        return tuple(get_classes(alias))
    except (ModuleNotFoundError, ValueError):
        return None


def _names(names: Sequence[str]) -> Sequence[str]:
    """Check that no class name is empty, except a single one, which is the empty prompt."""
    if list(names) != [''] and not all(name.strip() and name.isprintable() for name in names):
        raise ValueError
    return names


def _template(sentence: str) -> str:
    if sentence.count('{}') != 1:
        raise ValueError
    return sentence


def _sentences(templates: str | Sequence[str]) -> tuple[str, ...]:
    if templates == 'imagenet':
        return tuple(imagenet_templates())
    return (PHOTO,) if templates == 'photo' else tuple(templates)


ClassNames = Annotated[
    Text | Annotated[Listed[str], AfterValidator(_names)],
    Expected("a list of class names, such as ['road', 'tram'], none of them empty; or the name of a dataset"),
]
Templates = Annotated[
    Literal['imagenet', 'photo'] | Listed[Annotated[str, AfterValidator(_template)]],
    Expected("'imagenet', 'photo', or a list of sentences such as 'a photo of a {}'"),
]


@MODELS.register_module()
@validated
class ClassPrompts(BasePrompts):
    """One prompt embedding per class: the pooled text feature of its name, averaged over templates.

    As in `VPD <https://arxiv.org/abs/2303.02153>`_. The embeddings are computed once, when weights are initialised, and
    checkpoints hold them; afterwards neither the text encoder nor a file is needed.

    SDXL has no pooled text feature as wide as its prompts. There, the embedding of a class consists of the
    second-to-last hidden states of both text encoders at the end-of-text token, see :class:`.SentenceEncoder`. This is
    our definition, and its effect has not been measured.

    Args:
        classes (str | Sequence[str]): Class names; or a registered dataset with class names (``'ADE20KDataset'``); or a
            dataset alias of mmseg (``'ade'``). An underscore in a name is treated as a space.
        embed_dims (int): Width ``C`` of an embedding. The backbone fills it in.
        embeddings (str, optional): File with ready embeddings ``(K, C)``, in the order of the classes, such as
            the official ``class_embeddings.pth``. With SDXL, the file holds a dict of ``embeddings`` and ``pooled``,
            which are ``(K, P)`` or, with ``pooled='empty'``, ``(1, P)``. It is read when weights are initialised.
        templates (str | Sequence[str]): ``'imagenet'``, CLIP's 80 sentences for ImageNet; ``'photo'``, the one sentence
            ``'a photo of a {}'``; or a list of sentences with one ``{}``. A mean over several sentences is a shorter
            vector than the embedding of one of them. Defaults to 'imagenet'.
        max_length (int): Sentences are cut and padded to this many tokens. Defaults to 20, as in VPD.
        adapter (dict, optional): Config of a module that refines the embeddings, such as ``dict(type='TextAdapter')``.
        pooled (str, optional): The pooled embedding of an image with SDXL: ``'mean'``, the mean over the sentences of
            all classes; or ``'empty'``, the embedding of the empty sentence. Default: ``'mean'``, because in the
            training of SDXL the prompts and the pooled embedding came from the same text.
        pooled_dims (int, optional): Width ``P`` of a pooled embedding. The backbone fills it in. Default: there are no
            pooled embeddings.

    Raises:
        ValueError: ``classes``, ``templates`` or ``max_length`` has an invalid value; or a class name is not in Latin
            script and there is no file of embeddings.
    """

    def __init__(
        self,
        classes: ClassNames,
        embed_dims: Width,
        embeddings: Location | None = None,
        templates: Templates = 'imagenet',
        max_length: MaxLength = 20,
        adapter: Component | None = None,
        pooled: Literal['mean', 'empty'] | None = None,
        pooled_dims: Width | None = None,
    ):
        super().__init__()
        self.classes = resolve_classes(classes)
        if repeated := sorted({name for name in self.classes if self.classes.count(name) > 1}):
            MMLogger.get_current_instance().warning(
                f'classes: {quoted(repeated)} are listed more than once, and their prompts are the same; expected each '
                'class once'
            )
        unreadable = [name for name in self.classes if not is_readable(clean(name))]
        if unreadable and not embeddings:
            raise ValueError(f'classes: {brief(unreadable[0])} {UNREADABLE}, or give a file of `embeddings`')
        self.file = embeddings
        self.templates = _sentences(templates)
        self.max_length = max_length
        check_pooled(pooled, pooled_dims)
        self.pooled = pooled or 'mean'
        self.register_buffer('embeddings', torch.randn(len(self.classes), embed_dims))
        rows = 1 if pooled == 'empty' else len(self.classes)
        self.register_buffer('pooled_embeddings', torch.randn(rows, pooled_dims) if pooled_dims else None)
        self.adapter = build_adapter(adapter, embed_dims)

    @property
    def num_prompts(self) -> int:
        """Number ``K`` of prompts, which is the number of classes."""
        return len(self.classes)

    @property
    def class_names(self) -> tuple[str, ...]:
        """Class names, one per prompt; empty for the empty prompt."""
        return tuple(name for name in self.classes if name)

    @property
    def needs_text_encoder(self) -> bool:
        """Whether a text encoder computes the embeddings, because no file contains them."""
        return not self.file

    def init_embeddings(self, arch: str | None = None, checkpoint: str | Path | Source | None = None):
        """Read the embeddings from the file; without a file, compute them if a Stable Diffusion is given.

        Raises:
            ValueError: The number or width of the file's embeddings is wrong; or one is zero, NaN, infinite, complex or
                not a floating-point number; or pooled embeddings are missing.
        """
        if self.file:
            self._read(load_file(self.file))
        elif checkpoint:
            encoder = SentenceEncoder(arch, self.max_length)
            encoder.load(checkpoint, with_tokenizers=True)
            self.encode(encoder.to(self.embeddings.device))

    def _read(self, found: torch.Tensor | dict[str, torch.Tensor]):
        if self.pooled_embeddings is None:
            self._fill(found, self.embeddings)
            return
        if not isinstance(found, dict) or {'embeddings', 'pooled'} - set(found):
            raise ValueError(
                f'{self.file}: SDXL needs pooled embeddings, too: expected a dict of embeddings '
                f'{tuple(self.embeddings.shape)} and pooled {tuple(self.pooled_embeddings.shape)}, got '
                f'{brief(sorted(found)) if isinstance(found, dict) else type(found).__name__}. Leave out `embeddings`, '
                'so that the text encoders compute both'
            )
        self._fill(found['embeddings'], self.embeddings)
        self._fill(found['pooled'], self.pooled_embeddings)

    def _fill(self, found: torch.Tensor, target: torch.Tensor):
        if not isinstance(found, torch.Tensor) or found.shape != target.shape:
            shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
            raise ValueError(
                f'{self.file}: expected embeddings of shape {tuple(target.shape)}, one row for each of the '
                f'{len(self.classes)} classes, got {shape}. Check the class list, or leave out `embeddings`, so that '
                'the text encoder computes them'
            )
        if not found.is_floating_point() or not found.isfinite().all():
            fault = 'NaN or infinity' if found.is_floating_point() else str(found.dtype)
            raise ValueError(f'{self.file}: expected finite, real embeddings, got {fault}: compute or get them again')
        if empty := [name for name, row in zip(self.classes, found, strict=False) if not row.any()]:
            raise ValueError(f'{self.file}: the embedding of {empty[0]!r} is zero: compute or get them again')
        target.copy_(found)

    @torch.no_grad()
    def encode(self, encoder: SentenceEncoder):
        """Compute the embeddings with a text encoder."""
        for index, name in enumerate(progress(self.classes, 'class prompts', 'class')):
            name = clean(name).replace('_', ' ')
            encoded = encoder.encode([template.replace('{}', name) for template in self.templates])
            self.embeddings[index] = encoded.summary.mean(0)
            if self.pooled_embeddings is not None and self.pooled == 'mean':
                self.pooled_embeddings[index] = encoded.pooled.mean(0)
        if self.pooled_embeddings is not None and self.pooled == 'empty':
            self.pooled_embeddings.copy_(encoder.encode(['']).pooled)

    def forward(self, batch_size: int, condition: Any = None, step: int = 0) -> torch.Tensor:
        """Return prompt embeddings ``(batch_size, K, C)``, the same for every image."""
        return self.adapter(self.embeddings).expand(batch_size, -1, -1)

    def embed_pooled(self, batch_size: int, condition: Any = None, step: int = 0) -> torch.Tensor | None:
        """Return the pooled embedding ``(batch_size, P)``, the same for every image, or None."""
        if self.pooled_embeddings is not None:
            return self.pooled_embeddings.mean(0).expand(batch_size, -1)
