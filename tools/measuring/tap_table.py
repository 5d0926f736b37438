"""A table of the places of a U-Net, with the compute up to each."""

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.registry import MODELS, init_default_scope
from torch.utils.flop_counter import FlopCounterMode

from mmdiffperc.compat.config_imports import read_config
from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.layers import Tap, list_taps
from mmdiffperc.registry import class_name
from mmdiffperc.weights.architectures import build_unet
from mmdiffperc.weights.network_inputs import pooled_width
from mmdiffperc_cli.options import CONFIG_SUFFIXES


class Compute(NamedTuple):
    """Floating-point operations.

    Args:
        autoencoder (int): Of the autoencoder.
        unet (int): Of the whole U-Net.
        until (dict[str, int]): Of both until a place is computed, by the name of the tap.
    """

    autoencoder: int
    unet: int
    until: dict[str, int]


def build_backbone(source: str) -> DiffusionUNet:
    """Build the backbone of a config file, or of an architecture, without weights.

    Raises:
        ValueError: The backbone of the config is not a DiffusionUNet.
    """
    config = dict(type='DiffusionUNet', arch=source)
    if Path(source).suffix in CONFIG_SUFFIXES:
        cfg = read_config(source)
        init_default_scope(cfg.get('default_scope', 'mmengine'))
        config = cfg.get('model', {}).get('backbone', {})
    if class_name(config.get('type', '')) != 'DiffusionUNet':
        raise ValueError(f'expected a config whose model.backbone is a DiffusionUNet, got {config.get("type")}')
    with torch.device('meta'):
        return MODELS.build(config)


@torch.no_grad()
def count(backbone: DiffusionUNet, taps: tuple[Tap, ...], size: tuple[int, int]) -> Compute:
    """Count the operations of the autoencoder and the whole U-Net for an image of a height and width."""
    with torch.device('meta'):
        unet = build_unet(backbone.arch)
        images, prompts = torch.empty(1, 3, *size), torch.empty(1, 1, unet.config.cross_attention_dim)
        conditions = backbone.inputs.conditions(1, torch.empty(1, pooled_width(unet.config) or 0), size)
    until = {}
    with FlopCounterMode(display=False) as counter:
        for tap in taps:

            def note(*_, name=tap.name):
                until[name] = counter.get_total_flops()

            module = unet.get_submodule(tap.module)
            module.register_forward_pre_hook(note) if tap.tensor == 'input' else module.register_forward_hook(note)
        latents = backbone.autoencoder.encode(images)
        autoencoder = counter.get_total_flops()
        unet(backbone.inputs(latents), torch.ones(1, device='meta'), prompts, **conditions)
        return Compute(autoencoder, counter.get_total_flops() - autoencoder, until)


def rows(backbone: DiffusionUNet, size: tuple[int, int]) -> Iterator[str]:
    """Yield the lines of the table."""
    with torch.device('meta'):
        taps = list_taps(build_unet(backbone.arch), backbone.autoencoder.stride)
    compute = count(backbone, taps, size)
    read = {tap.name for group in backbone.taps for tap in group}
    width = max(len(tap.name) for tap in taps)
    yield f'  {"place":{width}}  stride  channels       size  compute'
    for tap in taps:
        star = '*' if tap.name in read else ' '
        cells = ' x '.join(str(-(-side // tap.stride)) for side in size)
        share = compute.until[tap.name] / (compute.autoencoder + compute.unet)
        yield f'{star} {tap.name:{width}}  {tap.stride:6}  {tap.channels:8}  {cells:>9}  {share:7.1%}'
    yield (
        f'100% of the compute: {compute.autoencoder / 1e9:.4g} GFLOPs of the autoencoder and {compute.unet / 1e9:.4g} '
        'GFLOPs of the U-Net'
    )
