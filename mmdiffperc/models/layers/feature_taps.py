"""Where a pyramid of features is tapped from a diffusion U-Net."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import nn


@dataclass(frozen=True)
class Tap:
    """One level of the feature pyramid.

    Args:
        module (str): Name of the U-Net's submodule whose output is the feature.
        stride (int): Pixels of the image per cell of the feature.
        channels (int): Channels of the feature.
    """

    module: str
    stride: int
    channels: int


def feature_table(config, latent_stride: int = 8) -> tuple[Tap, ...]:
    """List the taps of a U-Net, finest first, computed from its configuration.

    The finest is the output of the last up block; every other one is that of the middle layer of its up block, as in
    VPD (for Stable Diffusion 1.x: ``output_blocks`` 11, 7, 4 and 1 in the names of the original code).

    Args:
        config: ``unet.config`` of a diffusers ``UNet2DConditionModel``.
        latent_stride (int): Pixels per latent, which is ``autoencoder.stride``. Defaults to 8.
    """
    levels = len(config.block_out_channels)
    layers_per_block = config.layers_per_block
    if isinstance(layers_per_block, int):
        layers_per_block = (layers_per_block,) * levels
    taps = []
    for index, block_type in enumerate(config.up_block_types):
        level = levels - 1 - index
        module = f'up_blocks.{index}'
        if level > 0:
            layers = 'attentions' if 'CrossAttn' in block_type else 'resnets'
            num_layers = layers_per_block[level] + 1  # an up block has one more than its down block
            module += f'.{layers}.{num_layers // 2}'
        taps.append(Tap(module, latent_stride * 2**level, config.block_out_channels[level]))
    return tuple(reversed(taps))


def remove_untapped(unet: nn.Module, finest: int, keep_output: bool = False):
    """Remove what only serves levels finer than the finest one tapped, and the output layer if nobody needs it.

    Nothing then computes in vain, and distributed training needs no ``find_unused_parameters``.

    Args:
        unet (nn.Module): The network, changed in place.
        finest (int): Index in :func:`.feature_table` of the finest level that is tapped.
        keep_output (bool): Keep the output layer. Defaults to False.
    """
    if not keep_output:
        unet.conv_norm_out, unet.conv_out = None, nn.Identity()
    if finest == 0:
        return
    unet.up_blocks = unet.up_blocks[: len(unet.up_blocks) - finest]
    last = unet.up_blocks[-1]
    num_layers = len(last.resnets) // 2 + 1
    last.upsamplers = None
    last.resnets = last.resnets[:num_layers]
    if hasattr(last, 'attentions'):
        last.attentions = last.attentions[:num_layers]


class FeatureTaps:
    """Forward hooks that keep the outputs of a U-Net's modules until they are collected.

    Args:
        unet (nn.Module): The network.
        taps (Sequence[Tap]): What to keep, in the order in which ``collect`` gives it back.
    """

    def __init__(self, unet: nn.Module, taps: Sequence[Tap]):
        self.taps = tuple(taps)
        self._features = {}
        # Bound methods, not closures: a deep copy of the network (as for EMA) then gets taps of its own.
        unet.register_forward_pre_hook(self._start)
        for tap in self.taps:
            unet.get_submodule(tap.module).register_forward_hook(partial(self._keep, tap.module))

    def _start(self, unet, args):
        self._features = {}  # what was not collected of the pass before need not be kept during this one

    def _keep(self, name, module, args, output):
        self._features[name] = output[0] if isinstance(output, tuple) else output

    def collect(self) -> tuple[torch.Tensor, ...]:
        """Hand over the features of the last forward pass and forget them."""
        features, self._features = self._features, {}
        return tuple(features[tap.module] for tap in self.taps)
