"""Gradient checkpointing: less memory in training, for a second forward pass during the backward pass."""

import threading

import torch
from diffusers import ModelMixin, UNet2DConditionModel
from diffusers.models.attention import BasicTransformerBlock
from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoint_block(block: nn.Module, *args):
    """Run a block and keep only its inputs for the backward pass."""
    return checkpoint(block, *args, use_reentrant=False)


def enable_checkpointing(network: ModelMixin):
    """Turn on gradient checkpointing so that the network can still be pickled (diffusers would store a closure)."""
    network.enable_gradient_checkpointing(checkpoint_block)


def checkpoint_autoencoder(autoencoder: nn.Module):
    """Turn on gradient checkpointing for a :class:`.LatentAutoencoder`, if it is trained and not a tiny one."""
    if autoencoder.trained and not autoencoder.is_tiny:
        enable_checkpointing(autoencoder.vae)


class _GradMode(threading.local):
    """Whether gradients were enabled when the U-Net's forward pass began, in each thread."""

    def __init__(self):
        self.at_start: bool | None = None  # runs in each thread at its first access

    def __reduce__(self):
        return type(self), ()

    def begin(self, unet, args):
        self.at_start = torch.is_grad_enabled()

    def end(self, unet, args, output):
        self.at_start = None

    def check(self, module, args):
        if self.at_start and not torch.is_grad_enabled():
            raise RuntimeError(
                'A part of the U-Net runs without gradients although training needs them, as under reentrant gradient '
                'checkpointing: features and attention maps would be cut off from the weights, and gradients would be '
                'wrong. Set with_cp=True, which is not reentrant, pass use_reentrant=False to the wrapper, or wrap the '
                'whole backbone'
            )


def refuse_reentrant_checkpointing(unet: UNet2DConditionModel):
    """Refuse reentrant checkpointing of parts of a U-Net, which some wrappers use: it gives wrong gradients.

    Reentrant checkpointing first runs a part without gradients. Features recorded inside the part then have no
    gradients, and neither have weights whose inputs need none, such as an adapter in the first blocks.

    Args:
        unet (UNet2DConditionModel): The network; a forward pass under such checkpointing raises ``RuntimeError``.
    """
    mode = _GradMode()
    unet.register_forward_pre_hook(mode.begin)
    unet.register_forward_hook(mode.end, always_call=True)
    # One module in each unit of checkpointing: each block, each transformer block, and the two embeddings, whose inputs
    # never need gradients.
    transformers = [module for module in unet.modules() if isinstance(module, BasicTransformerBlock)]
    blocks = [block for block in (*unet.down_blocks, unet.mid_block, *unet.up_blocks) if block is not None]
    units = [block.resnets[0] for block in blocks] + [transformer.attn1 for transformer in transformers]
    for module in (*units, unet.conv_in, unet.time_embedding.linear_1):
        module.register_forward_pre_hook(mode.check)
