"""Prompts made of a sentence: one per token."""

from collections.abc import Callable, Sequence

import torch
from torch import nn
from transformers import CLIPTextModel, CLIPTokenizer

from mmdiffperc.models.config_checks import Arch
from mmdiffperc.models.layers.sentence_encoder import MaxLength, SentenceEncoder
from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Component, Location, NonNegativeInt, Width, validated

from .sentences import check_sentences, clean


@MODELS.register_module()
@validated
class TextPrompts(nn.Module):
    """One sentence per image, as the hidden states of its tokens in the frozen text encoder of Stable Diffusion.

    As in the referring segmentation of `VPD <https://arxiv.org/abs/2303.02153>`_: all ``max_length`` tokens become
    prompts, padding too, and nothing is masked.

    The text encoder is a part of the checkpoint. Training takes its weights from where the backbone's ``init_cfg``
    takes the others. Official checkpoints hold no text encoder, nor do those converted from them: it is then loaded
    from ``checkpoint`` when the first sentence comes.

    Args:
        arch (str): Architecture, see :class:`DiffusionUNet`, which fills it in. The tokenizer is that of ``arch``, too.
        embed_dims (int): Width ``C`` of a prompt. The backbone fills it in.
        max_length (int): Sentences are cut and padded to this many tokens, of which two mark beginning and end. VPD has
            40 for RefCOCO and RefCOCO+, 77 (CLIP's own limit) for RefCOCOg. Defaults to 40.
        adapter (dict, optional): Config of a module that refines the prompts, such as ``dict(type='TextAdapter')``.
        checkpoint (str, optional): Where the text encoder's weights come from if neither ``init_cfg`` nor the loaded
            checkpoint has them, see :func:`.load_weights`.
        cache_size (int): How many encoded sentences are remembered, in main memory: 120 kB each with SD 1.x and 40
            tokens. Defaults to 4096.

    Raises:
        ValueError: ``max_length`` is out of range, or the text encoder has another width than the U-Net wants.
    """

    by_sentence = True
    needs_text_encoder = True

    def __init__(
        self,
        arch: Arch,
        embed_dims: Width,
        max_length: MaxLength = 40,
        adapter: Component | None = None,
        checkpoint: Location | None = None,
        cache_size: NonNegativeInt = 4096,
    ):
        super().__init__()
        self.text_encoder = SentenceEncoder(arch, max_length, checkpoint, cache_size)
        if self.text_encoder.embed_dims != embed_dims:
            raise ValueError(
                f'The text encoder of {arch} is {self.text_encoder.embed_dims} wide, but its U-Net wants prompts of '
                f'width {embed_dims}: check text_encoder/config.json and unet/config.json'
            )
        self.adapter = MODELS.build(adapter, default_args=dict(embed_dims=embed_dims)) if adapter else nn.Identity()

    @property
    def num_prompts(self) -> int:
        """Number ``K`` of prompts, which is that of the tokens."""
        return self.text_encoder.max_length

    def init_embeddings(self, load_text_encoder: Callable[[], tuple[CLIPTokenizer, CLIPTextModel]] | None = None):
        """Take over the weights of a loaded text encoder, if there is one to load."""
        if load_text_encoder is None:
            return
        _, clip = load_text_encoder()
        self.text_encoder.clip.load_state_dict(clip.state_dict())
        self.text_encoder.note_weights()

    def forward(self, batch_size: int, sentences: Sequence[str] | torch.Tensor | None = None) -> torch.Tensor:
        """Encode and refine.

        Args:
            batch_size (int): Number of images ``B``.
            sentences (Sequence[str] | Tensor): One for each image; or ready hidden states ``(B, K, C)``.

        Returns:
            Tensor: Prompt embeddings ``(B, K, C)``.

        Raises:
            TypeError: A sentence is missing, or is no string.
            ValueError: A sentence is empty, or not in Latin script; their number is not that of the images; the hidden
                states are of another shape.
            RuntimeError: The text encoder has no weights.
        """
        if isinstance(sentences, torch.Tensor):
            self._check_states(sentences, batch_size)
            return self.adapter(sentences)
        check_sentences(sentences, batch_size)
        return self.adapter(self.text_encoder([clean(sentence) for sentence in sentences]))

    def _check_states(self, states, batch_size):
        expected = batch_size, self.num_prompts, self.text_encoder.embed_dims
        if states.shape != expected:
            raise ValueError(f'Expected hidden states of shape {expected}, got {tuple(states.shape)}')
