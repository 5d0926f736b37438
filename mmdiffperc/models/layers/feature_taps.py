"""Table of the features that can be tapped from a diffusion U-Net."""

from dataclasses import dataclass

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

    The finest tap is the output of the last up block. Each other tap is the output of the middle layer of its up block,
    as in VPD (for Stable Diffusion 1.x: ``output_blocks`` 11, 7, 4 and 1 of the original code).

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
    """Remove the layers that only finer levels need, and the output layer unless it is needed.

    Without them, no computation is wasted and distributed training needs no ``find_unused_parameters``.

    Args:
        unet (nn.Module): The network, changed in place.
        finest (int): Index in :func:`.feature_table` of the finest level that is tapped.
        keep_output (bool): Keep the output layer, which several passes need. Defaults to False.
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
