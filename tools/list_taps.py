"""List the places of a diffusion U-Net that DiffusionUNet can return as features with its argument ``taps``.

    python tools/list_taps.py sd1-5 --size 512 768
    python tools/list_taps.py configs/vpd/vpd_sd1-5-fpn_8xb2-80k_ade20k-512x512.py

Each line shows a place, its stride in pixels, its channels, its height and width for an image of --size, and the
compute up to this place as a share of the compute of the autoencoder and the whole U-Net. DiffusionUNet removes the
layers behind the last tap, so the share of the last tap is what the backbone costs. A star marks the places that the
config reads; for an architecture, those of the default pyramid.

The tool counts floating-point operations on networks without weights, for one image and one prompt.
"""

import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from torch.utils.flop_counter import FlopCounterMode

from mmdiffperc.command_line import CONFIG_SUFFIXES, add_shared, config_file, one_line_errors, positive, tool_parser
from mmdiffperc.models import DiffusionUNet
from mmdiffperc.models.layers import Tap, list_taps
from mmdiffperc.registry import class_name
from mmdiffperc.weights.architectures import build_unet
from mmdiffperc.weights.network_inputs import pooled_width


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


def build_parser() -> ArgumentParser:
    """Return the command-line parser."""
    parser = tool_parser(__doc__)
    add_shared(
        parser,
        'config',
        type=config_or_arch,
        help='config of a model with DiffusionUNet as its backbone, or an architecture, such as sd1-5 or a folder',
    )
    add_shared(parser, '--size', 'height and width', nargs=2, type=positive, default=[512, 512], metavar=('H', 'W'))
    return parser


def config_or_arch(text: str) -> dict:
    """Return the config of the backbone that a config file or an architecture stands for.

    Raises:
        argparse.ArgumentTypeError: The config does not exist.
        ValueError: The backbone of the config is not a DiffusionUNet.
    """
    if Path(text).suffix not in CONFIG_SUFFIXES:
        return dict(type='DiffusionUNet', arch=text)
    cfg = Config.fromfile(config_file(text))
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    return cfg.get('model', {}).get('backbone', {})


def build_backbone(config: dict) -> DiffusionUNet:
    """Build a backbone without weights.

    Raises:
        ValueError: It is not a DiffusionUNet.
    """
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


@one_line_errors(ValueError, OSError)
def main(arguments=None):
    """Run the tool, by default with the arguments of the command line."""
    args = build_parser().parse_args(arguments)
    for line in rows(build_backbone(args.config), tuple(args.size)):
        print(line)


if __name__ == '__main__':
    sys.exit(main())
