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

TASK = ('class_embed_type', 'projection_class_embeddings_input_dim')  # entries of its config


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
    channels, has_task = _inputs_of(source)
    wide = unet.conv_in
    _check_lacking(source, unet, channels, has_task)
    is_narrow = channels is not None and 2 * channels == wide.in_channels
    if is_narrow:
        unet.conv_in = nn.Conv2d(channels, wide.out_channels, wide.kernel_size, padding=wide.padding).to(wide.weight)
        unet.register_to_config(in_channels=channels)
    try:
        with plain_task(unet, source):
            yield
        if is_narrow:
            _widen(unet.conv_in, wide, halve_bias)
    finally:
        unet.conv_in = wide
        unet.register_to_config(in_channels=wide.in_channels)


@contextmanager
def plain_task(unet: UNet2DConditionModel, source: Source) -> Iterator[None]:
    """Take the task embedding away from a U-Net while it is filled with weights that lack it.

    Afterwards it starts at zero, so that it changes nothing at first.

    Args:
        unet (UNet2DConditionModel): The U-Net.
        source (Source): The checkpoint to fill it from.
    """
    task, kept = unet.class_embedding, {name: unet.config[name] for name in TASK}
    if task is None or 'unet' not in source.files or _inputs_of(source)[1]:
        yield
        return
    unet.class_embedding = None
    unet.register_to_config(**dict.fromkeys(TASK))
    try:
        yield
        _start_at_zero(task)
    finally:
        unet.class_embedding = task
        unet.register_to_config(**kept)


def _inputs_of(source: Source) -> tuple[int | None, bool]:
    """Return the input channels of the U-Net of a checkpoint, if known, and whether it has a task embedding."""
    return unet_inputs({key: shape for path in source.files['unet'] for key, shape in WeightFile(path).shapes.items()})


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
