"""Removal of the layers of a U-Net that no feature needs."""

import re
from collections.abc import Collection, Sequence

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from torch import nn

from .feature_taps import Tap, list_taps

LAYERS = ('norm1', 'attn1', 'norm2', 'attn2', 'norm3', 'ff')  # of a transformer block, in the order of computation


def remove_untapped(unet: nn.Module, taps: Collection[Tap]):
    """Remove the layers behind the last tap.

    Without them, no computation is wasted and distributed training needs no ``find_unused_parameters``.

    Args:
        unet (nn.Module): A complete ``UNet2DConditionModel``, changed in place.
        taps (Collection[Tap]): Some of :func:`.list_taps`.
    """
    order = [tap.name for tap in list_taps(unet)]
    last = max(taps, key=lambda tap: order.index(tap.name))
    block_name, layer = re.fullmatch(r'(mid_block|\w+\.\d+)\.?(.*)', last.module).groups()
    block, is_whole = unet.get_submodule(block_name), not layer or 'samplers' in layer
    _remove_blocks(unet, block, is_whole)
    if not is_whole:
        kind, index, *_ = layer.split('.')
        _remove_layers(block, kind, int(index), is_middle=block is unet.mid_block)
    if last.transformer:
        _remove_transformer_layers(unet, last, taps)


def _remove_blocks(unet, last, is_whole):
    """Remove the blocks behind the last one, of which all layers are needed if it is whole, and the output layer."""
    unet.conv_norm_out, unet.conv_out = None, nn.Identity()
    down, up = list(unet.down_blocks), list(unet.up_blocks)
    if last in up:
        number = up.index(last) + 1
        # Only if another block follows does diffusers upsample to the size of the next skip connection.
        end = [PassThrough()] if is_whole and number < len(up) else []
        unet.up_blocks = nn.ModuleList([*up[:number], *end])
        return
    unet.up_blocks = nn.ModuleList()
    if last in down:
        unet.mid_block, unet.down_blocks = None, nn.ModuleList(down[: down.index(last) + 1])


def _remove_layers(block, kind, index, is_middle):
    """Remove the layers of a block behind one of its residual layers or transformers."""
    for samplers in ('downsamplers', 'upsamplers'):
        if hasattr(block, samplers):
            setattr(block, samplers, None)
    is_attention = kind == 'attentions'
    resnets = block.resnets[: index + 1]
    if not hasattr(block, 'attentions'):
        block.resnets = resnets
        return
    attentions = block.attentions[: index + is_attention]
    # A block runs its layers in pairs: a transformer and a residual layer in the middle block, else in the other order.
    if is_middle and is_attention:
        resnets.append(PassThrough())
    if not is_middle and not is_attention:
        attentions.append(PassThrough(as_tuple=True))
    block.resnets, block.attentions = resnets, attentions


def _remove_transformer_layers(unet, last, taps):
    """Remove the layers of a transformer behind the last tap, which is inside."""
    transformer = unet.get_submodule(last.transformer)
    prefix = f'{last.transformer}.transformer_blocks.'
    index, _, inside = last.module.removeprefix(prefix).partition('.')
    blocks = transformer.transformer_blocks[: int(index) + 1]
    if inside:
        prefix = f'{prefix}{index}.'
        names = [tap.name.removeprefix(prefix) for tap in taps if tap.module.startswith(prefix)]
        blocks[-1] = PartialTransformerBlock(blocks[-1], names)
    transformer.transformer_blocks, transformer.proj_out = blocks, nn.Identity()


class PassThrough(nn.Module):
    """Replace a layer or block that no feature needs: return the first input.

    Args:
        as_tuple (bool): Return it in a tuple, as a transformer does. Defaults to False.
    """

    resnets = ()  # the U-Net reads this attribute of its blocks

    def __init__(self, as_tuple: bool = False):
        super().__init__()
        self.as_tuple = as_tuple

    def forward(self, hidden_states: torch.Tensor, *args, **kwargs) -> torch.Tensor | tuple[torch.Tensor]:
        """Return ``hidden_states``."""
        return (hidden_states,) if self.as_tuple else hidden_states


class PartialTransformerBlock(nn.Module):
    """The layers of a transformer block up to the last tap, under their names.

    Its output is not used. Fully sharded data parallelism gathers the weights of a unit when the gradient of its output
    arrives, so this block cannot be such a unit.

    Args:
        block (BasicTransformerBlock): The complete block.
        names (Sequence[str]): Names of the tapped tensors inside, such as ``'norm2 (input)'`` or ``'attn1.to_k'``.
    """

    def __init__(self, block: BasicTransformerBlock, names: Sequence[str]):
        super().__init__()
        modules = {name.removesuffix(' (input)') for name in names}
        *before, last = LAYERS[: 1 + max(LAYERS.index(module.partition('.')[0]) for module in modules)]
        for name in before:
            self.add_module(name, block.get_submodule(name))
        self.add_module(last, self._needed(block.get_submodule(last), last, names))

    def _needed(self, layer, name, names) -> nn.Module:
        """Return the part of the last layer that the taps need."""
        if name in names:
            return layer
        if name.startswith('norm'):
            return nn.Identity()  # only its input is tapped
        if isinstance(layer, Attention):
            projections = [one.rpartition('.')[2] for one in names if one.startswith(name)]
            return nn.ModuleDict({projection: layer.get_submodule(projection) for projection in projections})
        layer.net = layer.net[:1]
        return layer

    def forward(self, hidden_states: torch.Tensor, attention_mask=None, encoder_hidden_states=None, *args, **kwargs):
        """Compute the tensors that are tapped, from tokens ``(B, h * w, C)`` and prompts ``(B, K, C)``."""
        contexts = dict(attn1=None, attn2=encoder_hidden_states)
        for name, layer in self.named_children():
            if name.startswith('norm'):
                normed = layer(hidden_states)
            elif isinstance(layer, Attention):
                hidden_states = layer(normed, encoder_hidden_states=contexts[name]) + hidden_states
            else:
                for part in layer.values() if isinstance(layer, nn.ModuleDict) else [layer]:
                    part(normed)
        return hidden_states
