"""U-Nets that take more than the Stable Diffusion they start from: a second image's latents, or a task."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from diffusers import UNet2DConditionModel
from mmengine.logging import MMLogger
from torch import nn

from .families import unet_inputs
from .sources import Source
from .weight_file import WeightFile

EXTENDED = ('in_channels', 'class_embed_type', 'projection_class_embeddings_input_dim')  # entries of its config


@contextmanager
def plain_inputs(unet: UNet2DConditionModel, source: Source, halve_bias: bool = False) -> Iterator[None]:
    """Take the additional inputs away from a U-Net while it is filled with weights that lack them.

    Afterwards the weights of the input convolution are repeated for the second image's latents and halved, so that an
    image beside itself gives the same features (`Marigold <https://arxiv.org/abs/2312.02145>`_). A new task embedding
    starts at zero, so that it changes nothing at first.

    Args:
        unet (UNet2DConditionModel): The U-Net.
        source (Source): The checkpoint to fill it from.
        halve_bias (bool): Halve the bias of the input convolution too, as `E2E-FT <https://arxiv.org/abs/2409.11355>`_
            does. Defaults to False.

    Raises:
        ValueError: The weights have an input that the U-Net lacks.
    """
    if 'unet' not in source.files:  # it keeps its random weights
        yield
        return
    shapes = {key: shape for path in source.files['unet'] for key, shape in WeightFile(path).shapes.items()}
    channels, has_task = unet_inputs(shapes)
    wide, task, kept = unet.conv_in, unet.class_embedding, dict(unet.config)
    _check_lacking(source, unet, channels, has_task)
    is_narrow = channels is not None and 2 * channels == wide.in_channels
    lacks_task = task is not None and not has_task
    if is_narrow:
        unet.conv_in = nn.Conv2d(channels, wide.out_channels, wide.kernel_size, padding=wide.padding).to(wide.weight)
        unet.register_to_config(in_channels=channels)
    if lacks_task:
        unet.class_embedding = None
        unet.register_to_config(class_embed_type=None, projection_class_embeddings_input_dim=None)
    try:
        yield
        if is_narrow:
            _widen(unet.conv_in, wide, halve_bias)
        if lacks_task:
            _start_at_zero(task)
    finally:
        unet.conv_in, unet.class_embedding = wide, task
        unet.register_to_config(**{name: kept[name] for name in EXTENDED})


def _check_lacking(source: Source, unet: UNet2DConditionModel, channels: int | None, has_task: bool):
    ours, path = unet.conv_in.in_channels, source.files['unet'][0]
    if channels == 2 * ours:
        raise ValueError(
            f"{path}: the U-Net takes {channels} channels, the latents of the image and of the target, but the model's "
            f"takes {ours}: set target_input to 'noise' for Marigold and Lotus-G, or to 'zeros' for E2E-FT"
        )
    if has_task and unet.class_embedding is None:
        raise ValueError(f'{path}: the U-Net takes a task, as in Lotus: set task_embedding, such as (1, 0)')


@torch.no_grad()
def _widen(narrow: nn.Conv2d, wide: nn.Conv2d, halve_bias: bool):
    wide.weight.copy_(narrow.weight.repeat(1, 2, 1, 1) / 2)
    wide.bias.copy_(narrow.bias / 2 if halve_bias else narrow.bias)
    MMLogger.get_current_instance().info(
        f'The U-Net of the checkpoint takes {narrow.in_channels} channels; it now takes {wide.in_channels}'
    )


@torch.no_grad()
def _start_at_zero(task: nn.Module):
    task.linear_2.weight.zero_()
    task.linear_2.bias.zero_()
    MMLogger.get_current_instance().info('The checkpoint has no task embedding; a new one starts at zero')
