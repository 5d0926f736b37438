"""The parts of a model that can be exported."""

import json
from collections.abc import Callable
from pkgutil import resolve_name

import torch
from torch import nn

from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.layers.sentence_encoder import SentenceEncoder
from mmdiffperc.models.prompts.base_prompts import CATEGORY, SENTENCE

from .part import BATCH, IMAGE, Input, Part, whole_numbers

# The class of the model, or the nearest of its bases, decides. Most of these modules need a host.
PARTS = {
    'BaseSegmentor': 'mmdiffperc.seg.export:segmentor_parts',
    'TopdownPoseEstimator': 'mmdiffperc.pose.export:pose_parts',
    'TargetGenerator': 'mmdiffperc.generative.export:generator_parts',
}


def parts_of(model: nn.Module) -> dict[str, Callable[[nn.Module], Part]]:
    """Return the functions that make the parts of a model, by the names of the parts."""
    of_task = next((PARTS[base.__name__] for base in type(model).__mro__ if base.__name__ in PARTS), None)
    parts = resolve_name(of_task)(model) if of_task else {}
    if isinstance(getattr(model, 'backbone', None), DiffusionUNet):
        parts['backbone'] = backbone_part
        if model.backbone.prompts.condition == SENTENCE:
            parts['text-encoder'] = lambda model: text_encoder_part(model.backbone.prompts.text_encoder)
    return parts


def find_part(model: nn.Module, name: str) -> Part:
    """Return a part of a model by its name.

    Raises:
        ValueError: The model has no such part, or the part cannot be exported.
    """
    parts = parts_of(model)
    if name not in parts:
        raise ValueError(
            f'{type(model).__name__} has no part {name!r} that can be exported: expected --part '
            f'{" or ".join(parts) or "of another model, whose backbone is a DiffusionUNet"}'
        )
    return parts[name](model)


def normalisation(model: nn.Module) -> dict[str, str]:
    """Return the mean and standard deviation with which a model normalises the pixels, as text for metadata."""
    preprocessor = model.data_preprocessor
    values = {name: getattr(preprocessor, name, None) for name in ('mean', 'std')}
    return {name: json.dumps(value.flatten().tolist()) for name, value in values.items() if value is not None}


def backbone_part(model: nn.Module) -> Part:
    """Return the backbone of a model: an image in, the features out.

    Raises:
        ValueError: See :func:`backbone_inputs`.
    """
    backbone = model.backbone
    features = {
        f'feature_{index}': f'{channels} channels, stride {stride}'
        for index, (channels, stride) in enumerate(zip(backbone.out_channels, backbone.out_strides, strict=True))
    }
    prompts = {'prompt_embeds': 'prompt embeddings (B, K, C)'} if backbone.out_prompts else {}
    return Part(Features(backbone), backbone_inputs(backbone), features | prompts, **backbone_sizes(backbone))


def backbone_inputs(backbone: DiffusionUNet) -> dict[str, Input]:
    """Return the inputs of a backbone: the image, and what its prompts depend on.

    Raises:
        ValueError: The backbone draws random numbers, or its prompts depend on something that is not a tensor.
    """
    prompts = backbone.prompts
    kind = type(prompts).__name__
    if backbone.noise.kind == 'random':
        raise ValueError("backbone.noise='random' cannot be exported, because it changes the result at every call")
    if prompts.condition is None:
        return dict(image=IMAGE)
    if prompts.condition == CATEGORY:
        meaning = f'scene of each image: -1 if unknown, or its index in {list(prompts.classes)}'
        ids = Input((BATCH,), meaning, whole_numbers(-1, len(prompts.classes)))
        return dict(image=IMAGE, category_ids=ids)
    if prompts.condition == SENTENCE and prompts.text_encoder.clip_2 is None:
        axes = BATCH, prompts.num_prompts, prompts.text_encoder.embed_dims
        return dict(image=IMAGE, text_states=Input(axes, "the output of the exported part 'text-encoder'"))
    raise ValueError(f'backbone.prompts cannot be exported: {kind} depends on {prompts.condition} and not on a tensor')


def backbone_sizes(backbone: DiffusionUNet) -> dict[str, int]:
    """Return the arguments of :class:`.export.Part` that are numbers of pixels."""
    levels = len(backbone.unet.down_blocks)
    stride = backbone.autoencoder.stride
    return dict(stride=stride, coarsest=stride * 2 ** (levels - 1))


def text_encoder_part(encoder: SentenceEncoder) -> Part:
    """Return a text encoder: tokens in, their hidden states out.

    Raises:
        ValueError: There are two text encoders, as in SDXL.
    """
    if encoder.clip_2 is not None:
        raise ValueError('text-encoder cannot be exported: SDXL has two text encoders, which differ in their tokens')
    vocabulary = encoder.clip.config.vocab_size
    meaning = f"tokens of CLIP's tokenizer, cut and padded to {encoder.max_length}"
    tokens = Input((BATCH, encoder.max_length), meaning, whole_numbers(0, vocabulary))
    return Part(HiddenStates(encoder.clip), dict(token_ids=tokens), dict(text_states='hidden states (B, K, C)'))


class Features(nn.Module):
    """The features of a backbone, with a condition of its prompts as a second tensor.

    Args:
        backbone (DiffusionUNet): The backbone.
    """

    def __init__(self, backbone: DiffusionUNet):
        super().__init__()
        self.backbone = backbone

    def forward(self, image: torch.Tensor, condition: torch.Tensor | None = None) -> tuple[torch.Tensor, ...]:
        """Compute the features ``(B, C_i, h_i, w_i)`` of images ``(B, 3, H, W)``."""
        return self.backbone(image if condition is None else (image, condition))


class HiddenStates(nn.Module):
    """The hidden states of a text encoder of transformers.

    Args:
        clip (nn.Module): The text encoder.
    """

    def __init__(self, clip: nn.Module):
        super().__init__()
        self.clip = clip

    def forward(self, token_ids: torch.Tensor) -> torch.Tensor:
        """Encode tokens ``(B, K)`` to hidden states ``(B, K, C)``."""
        return self.clip(token_ids).last_hidden_state
