"""Checkpoints of the research repositories, and how their names map to the names here."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn

from .compvis import unet_key_map, vae_key_map


@dataclass(frozen=True)
class Layout:
    """How one research repository lays out its checkpoints.

    Args:
        name (str): What is trained, for messages.
        marks (tuple[str]): Patterns each of which some key matches, in this layout and in no other.
        config (str): The shipped config of the same model, below ``configs/``.
        unet (str): Prefix of the U-Net, which is in CompVis names.
        vae (str): Prefix of the autoencoder, which is in CompVis names.
        renamed (Mapping[str, str]): Beginnings of our names to beginnings of theirs; other names are the same.
        unused (str): Pattern of keys that no prediction depends on.
    """

    name: str
    marks: tuple[str, ...]
    config: str
    unet: str
    vae: str
    renamed: Mapping[str, str]
    unused: str


LAYOUTS = (
    Layout(
        name='VPD segmentation',
        marks=(r'class_embeddings$', r'encoder_vq\.', r'unet\.unet\.diffusion_model\.', r'decode_head\.scale_heads\.'),
        config='vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py',
        unet='unet.unet.diffusion_model.',
        vae='encoder_vq.',
        renamed={
            'backbone.prompts.embeddings': 'class_embeddings',
            'backbone.prompts.adapter.gamma': 'gamma',
            'backbone.prompts.adapter.mlp.': 'text_adapter.fc.',
        },
        # The noise schedule; the decoder's side of the autoencoder; the U-Net's output layer.
        unused=r'sd_model\.|encoder_vq\.post_quant_conv\.|unet\.unet\.diffusion_model\.out\.',
    ),
)


def unwrap(checkpoint: Mapping) -> dict[str, torch.Tensor]:
    """Weights of a checkpoint file's content: under ``state_dict`` or ``model`` if wrapped, without ``module.``."""
    for wrapper in ('state_dict', 'model'):
        if isinstance(checkpoint.get(wrapper), Mapping):
            checkpoint = checkpoint[wrapper]
    return {key.removeprefix('module.'): value for key, value in checkpoint.items()}


def recognise(keys) -> Layout:
    """Find the layout of a checkpoint by its keys.

    Raises:
        ValueError: No known layout has such keys.
    """
    keys = list(keys)
    for layout in LAYOUTS:
        if all(any(re.match(mark, key) for key in keys) for mark in layout.marks):
            return layout
    known = ', '.join(layout.name for layout in LAYOUTS)
    raise ValueError(f'Unknown checkpoint: expected one of {known}; got {len(keys)} keys, first {keys[:3]}')


def convert(weights: Mapping[str, torch.Tensor], layout: Layout, model: nn.Module) -> dict[str, torch.Tensor]:
    """Rename the weights of a research checkpoint to those of ``model``, every name and every shape checked.

    Args:
        weights (Mapping[str, Tensor]): As :func:`unwrap` gives them.
        layout (Layout): As :func:`recognise` gives it.
        model (nn.Module): The same network here; it is only looked at and may be on the meta device.

    Raises:
        ValueError: A weight is missing, left over or of another shape.
    """
    sources = _source_names(layout, model)
    faults = [f'missing {source} (our {name})' for name, source in sources.items() if source not in weights]
    left = set(weights) - set(sources.values())
    faults += [f'unexpected {key}' for key in sorted(left) if not re.match(layout.unused, key)]
    converted = {}
    for name, target in model.state_dict().items():
        if sources[name] not in weights:
            continue
        value = weights[sources[name]]
        if value.shape == (*target.shape, 1, 1):  # the autoencoder's attention: 1x1 convolutions there, linear here
            value = value[..., 0, 0]
        if value.shape != target.shape:
            faults.append(f'{sources[name]} is {tuple(value.shape)}, expected {tuple(target.shape)} (our {name})')
        converted[name] = value
    if faults:
        shown = '\n  '.join(faults[:10])
        raise ValueError(f'{layout.name}: {len(faults)} weights do not fit the config:\n  {shown}')
    return converted


def _source_names(layout: Layout, model: nn.Module) -> dict[str, str]:
    unet, vae = unet_key_map(model.backbone.unet.config), vae_key_map(model.backbone.autoencoder.vae.config)

    def source_of(name: str) -> str:
        if name.startswith('backbone.unet.'):
            return layout.unet + unet[name.removeprefix('backbone.unet.')]
        if name.startswith('backbone.autoencoder.vae.'):
            return layout.vae + vae[name.removeprefix('backbone.autoencoder.vae.')]
        for ours, theirs in layout.renamed.items():
            if name.startswith(ours):
                return theirs + name.removeprefix(ours)
        return name

    return {name: source_of(name) for name in model.state_dict()}
