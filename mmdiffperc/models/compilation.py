"""Compile a model block by block."""

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.resnet import ResnetBlock2D
from torch import nn

from mmdiffperc.models.layers.untapped import PartialTransformerBlock

BLOCKS = (BasicTransformerBlock, PartialTransformerBlock, ResnetBlock2D)
# A U-Net has blocks of about 30 forms, each with and without gradients. PyTorch's limit of 8 would leave most of them
# uncompiled.
FORMS = 128


def compile_blocks(model: nn.Module, **options) -> int:
    """Compile each transformer block and residual block of a model with ``torch.compile``, in place.

    Blocks of equal form share their code, so this takes a fraction of the time that the whole network would take;
    diffusers' ``compile_repeated_blocks`` compiles the transformer blocks only. Names of weights, checkpoints, features
    and attention maps do not change. Copies of the model are not compiled, and neither are pickled models.

    Args:
        model (nn.Module): Any model with a U-Net or an autoencoder of diffusers.
        **options: Arguments of ``torch.compile``. For images of several sizes, set ``dynamic=True``: it compiles each
            block once for all of them. Modes that record CUDA graphs are for whole networks: a block would overwrite
            the outputs of others that are still needed.

    Returns:
        int: Number of compiled blocks.

    Raises:
        ValueError: The model has no such block.
    """
    blocks = [module for module in model.modules() if isinstance(module, BLOCKS)]
    if not blocks:
        raise ValueError(
            f'compile_blocks: expected a model with transformer blocks or residual blocks of diffusers, got '
            f'{type(model).__name__}, which has none'
        )
    config = torch._dynamo.config
    config.cache_size_limit = max(config.cache_size_limit, FORMS)  # `recompile_limit` since torch 2.7
    config.accumulated_cache_size_limit = max(config.accumulated_cache_size_limit, 4 * FORMS)
    for block in blocks:
        block.compile(**options)
    return len(blocks)
