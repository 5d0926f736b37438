"""Prompts made of the caption of an image."""

from mmdiffperc.models.config_checks import Arch
from mmdiffperc.models.layers.sentence_encoder import LONGEST, MaxLength
from mmdiffperc.models.layers.token_embeddings import NewTokens
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Component, Location, NonNegativeInt, Width, validated

from .text_prompts import TextPrompts


@MODELS.register_module()
@validated
class CaptionPrompts(TextPrompts):
    """One caption per image, as the hidden states of its tokens in the frozen text encoder of Stable Diffusion.

    From `TADP <https://arxiv.org/abs/2310.00031>`_: all 77 tokens become prompts, including the padding, and none is
    masked. Attention maps are thus ordered by the position of a token. The caption is ``text`` of the data sample,
    which :class:`.LoadCaption` or :class:`.NameClasses` sets; it may be empty. All windows, crops and mirror images of
    an image get the same caption, in the models of every host.

    The weights of the text encoder are loaded as in :class:`TextPrompts`.

    Args:
        arch (str): Architecture, see :class:`DiffusionUNet`, which fills it in. The tokenizer also comes from ``arch``.
        embed_dims (int): Width ``C`` of a prompt. The backbone fills it in.
        max_length (int): Captions are cut and padded to this many tokens, two of which mark beginning and end. Defaults
            to 77, CLIP's limit.
        adapter (dict, optional): Config of a module that refines the prompts, such as ``dict(type='TextAdapter')``.
            Default: none, as in TADP.
        checkpoint (str, optional): Source of the text encoder if a checkpoint of the model lacks it, see
            :func:`.load_weights`.
        cache_size (int): Number of encoded captions to keep in the memory of the device, 240 kB each with SD 1.x.
            Defaults to 512.
        new_tokens (dict, optional): Tokens learned by textual inversion, see :class:`.TokenEmbeddings`:
            ``{'<watercolor>': 'learned_embeds.bin'}``. Default: none.

    Raises:
        ValueError: ``max_length`` is out of range, or the text encoder is not ``embed_dims`` wide.
    """

    takes_empty = True

    def __init__(
        self,
        arch: Arch,
        embed_dims: Width,
        max_length: MaxLength = LONGEST,
        adapter: Component | None = None,
        checkpoint: Location | None = None,
        cache_size: NonNegativeInt = 512,
        new_tokens: NewTokens | None = None,
    ):
        super().__init__(arch, embed_dims, max_length, adapter, checkpoint, cache_size, new_tokens)
