"""What all kinds of prompts have in common."""

import inspect
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mmdiffperc.registry import MODELS
from mmdiffperc.weights.sources import Source

from .sample_sentences import current_sentences

CATEGORY = 'category ids'
SENTENCE = 'sentences'
IMAGE = 'images'


class BasePrompts(nn.Module):
    """Base class of prompts: a module that gives the U-Net ``K`` prompt embeddings for each image.

    To add a kind of prompts, derive from this class, set ``num_prompts``, implement :meth:`forward`, and register the
    class. Its name is then a ``type`` for the ``prompts`` of :class:`.DiffusionUNet`::

        @MODELS.register_module()
        class RandomPrompts(BasePrompts):
            num_prompts = 4

            def __init__(self, embed_dims):
                super().__init__()
                self.register_buffer('embeddings', torch.randn(self.num_prompts, embed_dims))

            def forward(self, batch_size, condition=None, step=0):
                return self.embeddings.expand(batch_size, -1, -1)

    The backbone fills in these arguments of ``__init__`` if the class has them: ``arch``, its architecture;
    ``embed_dims``, the width ``C`` of a prompt; ``num_refine_steps``, its number of passes; and ``pooled_dims``, the
    width ``P`` of a pooled embedding with SDXL, otherwise None. For SDXL, implement :meth:`embed_pooled` too.

    Attributes:
        num_prompts (int): Number ``K`` of prompts.
        needs_text_encoder (bool): Whether :meth:`init_embeddings` loads a text encoder.
        condition (str | None): The input from which :meth:`forward` makes the prompts of an image:
            ``'category ids'``, ``'sentences'``, ``'images'``, which are the images of the backbone, or another name.
            Default: all images have the same prompts.
        class_names (tuple[str]): The class of each prompt; empty if prompts do not stand for classes.
    """

    num_prompts: int
    needs_text_encoder = False
    condition: str | None = None
    class_names: tuple[str, ...] = ()

    def init_embeddings(self, arch: str | None = None, checkpoint: str | Path | Source | None = None):
        """Initialise the prompts from Stable Diffusion or from a file; by default they are left unchanged.

        Args:
            arch (str, optional): Architecture of the backbone.
            checkpoint (str | Path | Source, optional): The Stable Diffusion that provides the text encoder, see
                :func:`.load_weights`. Default: none is loaded.
        """

    def check_condition(self, condition: Sequence | torch.Tensor):
        """Check the condition of a batch, while its values are on the host; by default, everything is right.

        Args:
            condition (Sequence | Tensor): One entry per image, see the attribute ``condition``.
        """

    def forward(self, batch_size: int, condition: Sequence | torch.Tensor | None = None, step: int = 0) -> torch.Tensor:
        """Return prompt embeddings ``(batch_size, K, C)``.

        Args:
            batch_size (int): Number of images ``B``.
            condition (Sequence | Tensor, optional): One entry per image, see the attribute ``condition``.
            step (int): Index of the U-Net's pass. Defaults to 0.
        """
        raise NotImplementedError

    def embed_pooled(
        self, batch_size: int, condition: Sequence | torch.Tensor | None = None, step: int = 0
    ) -> torch.Tensor | None:
        """Return a pooled embedding for each image ``(batch_size, P)``, which SDXL needs in addition, or None.

        The arguments are those of :meth:`forward`.
        """


def build_prompts(config: dict, **known) -> BasePrompts:
    """Build the prompts of a backbone.

    Args:
        config (dict): Their config.
        **known: ``arch``, ``embed_dims``, ``num_refine_steps`` and ``pooled_dims`` of the backbone, of which the class
            gets those that it takes.

    Raises:
        ValueError: The type is not a registered class derived from ``BasePrompts``; or it makes no pooled embeddings,
            which the U-Net needs; or the config has another value than the backbone.
    """
    name = config['type']
    with MODELS.switch_scope_and_registry(None) as registry:
        kind = name if isinstance(name, type) else registry.get(name)
    if not (isinstance(kind, type) and issubclass(kind, BasePrompts)):
        raise ValueError(f'prompts.type={name!r}: expected a registered class derived from BasePrompts')
    if known['pooled_dims'] and kind.embed_pooled is BasePrompts.embed_pooled:
        raise ValueError(
            f'prompts.type={name!r}: the U-Net of this arch needs pooled embeddings of width {known["pooled_dims"]}. '
            'Add the method embed_pooled to the class, see BasePrompts, or choose other prompts'
        )
    known = {argument: value for argument, value in known.items() if argument in inspect.signature(kind).parameters}
    for argument, wanted in known.items():
        if (given := config.get(argument, wanted)) != wanted:
            raise ValueError(f'{name} has {argument}={given!r}, but the backbone has {wanted!r}: leave {argument} out')
    return MODELS.build(config, default_args=known)


def check_pooled(pooled: str | None, pooled_dims: int | None):
    """Raise ``ValueError`` if a pooled embedding is configured for a U-Net that takes none."""
    if pooled and not pooled_dims:
        raise ValueError(
            f"pooled={pooled!r}: only the U-Net of SDXL takes a pooled embedding. Leave pooled out, or set arch='sdxl'"
        )


def build_adapter(config: dict | None, embed_dims: int) -> nn.Module:
    """Build the module that refines prompt embeddings of width ``embed_dims``; without a config, they are unchanged."""
    return MODELS.build(config, default_args=dict(embed_dims=embed_dims)) if config else nn.Identity()


def split_inputs(inputs: torch.Tensor | tuple, prompts: BasePrompts) -> tuple[torch.Tensor, Any]:
    """Split the inputs of a backbone into the images and the condition for the prompts, which may be None.

    If the images come alone, prompts that read sentences get those of the data samples with which a host called the
    model, see :mod:`.sample_sentences`.

    Args:
        inputs (Tensor | tuple): The images, or a tuple of the images and a condition.
        prompts (BasePrompts): The backbone's prompts.

    Raises:
        ValueError: The tuple has more than two entries, the prompts take no condition, or a data sample has no
            sentence.
    """
    images, *conditions = inputs if isinstance(inputs, tuple) and inputs else [inputs]
    if len(conditions) > 1:
        raise ValueError(
            'inputs: expected images, or a tuple of images and one condition for the prompts (category ids or '
            f'sentences), got a tuple of {1 + len(conditions)}'
        )
    if conditions and prompts.condition in (None, IMAGE):
        raise ValueError(
            f'inputs: expected images alone, since {type(prompts).__name__} takes no condition, got a tuple of images '
            'and a condition. Leave it out, or choose prompts such as ScenePrompts or TextPrompts'
        )
    if prompts.condition == IMAGE:
        return images, images
    if prompts.condition == SENTENCE and not conditions:
        return images, current_sentences(len(images))
    return images, conditions[0] if conditions else None
