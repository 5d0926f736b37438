"""The places of a diffusion U-Net whose tensors can be features."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import zip_longest

import torch
from diffusers.models.attention import BasicTransformerBlock
from diffusers.models.attention_processor import Attention
from diffusers.models.transformers.transformer_2d import Transformer2DModel
from torch import nn

from mmdiffperc.nearest import nearest_names

from .recorder import Recorder

PER_PROMPT = re.compile(r'\.attn2\.to_[kv]$')
WHERE_LISTED = 'mmdiffperc list-taps lists all places'


@dataclass(frozen=True)
class Tap:
    """A tensor inside the U-Net that is a feature.

    Args:
        module (str): Name of the U-Net's submodule.
        stride (int): Pixels of the image per cell of the feature.
        channels (int): Channels of the feature.
        tensor (str): ``'output'`` of the submodule, or its ``'input'``. Defaults to ``'output'``.
        transformer (str, optional): Name of the transformer in which the tensor is a sequence of tokens. Default: the
            tensor is a map.
    """

    module: str
    stride: int
    channels: int
    tensor: str = 'output'
    transformer: str | None = None

    @property
    def name(self) -> str:
        """Name of the tensor. An output has the name of its submodule."""
        return tensor_name(self.module, self.tensor)

    def attach(self, unet: nn.Module, recorder: Recorder):
        """Let a recorder keep the tensor."""
        recorder.watch(unet, self.module, self.tensor, self.name)
        if self.transformer:
            recorder.watch(unet, self.transformer, 'input size', self._size)

    def read(self, record: dict) -> torch.Tensor:
        """Return the feature ``(B, C, h, w)`` of a recorded forward pass."""
        feature = record[self.name]
        if self.transformer:
            feature = feature.transpose(1, 2).unflatten(2, record[self._size])  # (B, h * w, C) before
        return feature

    @property
    def _size(self):
        return tensor_name(self.transformer, 'size')


def tensor_name(module: str, tensor: str = 'output') -> str:
    """Return the name of the output of a submodule, or of another tensor of it."""
    return module if tensor == 'output' else f'{module} ({tensor})'


def feature_table(config, latent_stride: int = 8) -> tuple[Tap, ...]:
    """List the taps of the default pyramid, finest first, computed from the U-Net's configuration.

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


def list_taps(unet: nn.Module, latent_stride: int = 8) -> tuple[Tap, ...]:
    """List all places of a complete U-Net, in the order of computation.

    The places are the outputs of blocks, residual layers, transformers and samplers. Inside a transformer block, they
    are the inputs and outputs of the norms, the outputs of all layers, the queries, keys and values of self-attention,
    the queries of cross-attention, and the hidden layer of the feed-forward network.

    Args:
        unet (nn.Module): A ``UNet2DConditionModel`` from which nothing has been removed, on any device.
        latent_stride (int): Pixels per latent, which is ``autoencoder.stride``. Defaults to 8.
    """
    taps, stride = [], latent_stride
    for block_name, block in _blocks(unet):
        for name, layer in _layers(block):
            name = f'{block_name}.{name}'
            if 'samplers' in name:
                stride = stride * 2 if 'down' in name else stride // 2
            if isinstance(layer, Transformer2DModel):
                taps += _taps_inside(layer, name, stride)
            channels = layer.out_dim if isinstance(layer, Attention) else layer.out_channels
            taps.append(Tap(name, stride, channels))
        taps.append(Tap(block_name, stride, channels))
    return tuple(taps)


def _blocks(unet) -> Iterator[tuple[str, nn.Module]]:
    yield from ((f'down_blocks.{index}', block) for index, block in enumerate(unet.down_blocks))
    if unet.mid_block is not None:
        yield 'mid_block', unet.mid_block
    yield from ((f'up_blocks.{index}', block) for index, block in enumerate(unet.up_blocks))


def _layers(block) -> Iterator[tuple[str, nn.Module]]:
    """Yield residual layers and transformers alternately, as every block runs them, and then the sampler."""
    kinds = {kind: getattr(block, kind, None) or () for kind in ('resnets', 'attentions')}
    named = ([(f'{kind}.{index}', layer) for index, layer in enumerate(layers)] for kind, layers in kinds.items())
    yield from (layer for pair in zip_longest(*named) for layer in pair if layer)
    for kind in ('downsamplers', 'upsamplers'):
        yield from ((f'{kind}.{index}', layer) for index, layer in enumerate(getattr(block, kind, None) or ()))


def _taps_inside(transformer, name, stride) -> Iterator[Tap]:
    for index, block in enumerate(transformer.transformer_blocks):
        block_name = f'{name}.transformer_blocks.{index}'
        for module, tensor, channels in () if block.only_cross_attention else _tensors(block):
            yield Tap(f'{block_name}.{module}', stride, channels, tensor, name)
        yield Tap(block_name, stride, block.dim, transformer=name)


def _tensors(block: BasicTransformerBlock) -> Iterator[tuple[str, str, int]]:
    """Yield module, tensor and channels of the places inside a transformer block, in order."""
    for norm, layer in (('norm1', 'attn1'), ('norm2', 'attn2'), ('norm3', 'ff')):
        yield norm, 'input', block.dim
        yield norm, 'output', block.dim
        if layer == 'ff':
            yield 'ff.net.0', 'output', block.ff.net[2].in_features
        else:
            for projection in ('to_q', 'to_k', 'to_v') if layer == 'attn1' else ('to_q',):
                yield f'{layer}.{projection}', 'output', block.get_submodule(f'{layer}.{projection}').out_features
        yield layer, 'output', block.dim


def find_taps(configs: Sequence[str | dict], unet: nn.Module, latent_stride: int = 8) -> tuple[tuple[Tap, ...], ...]:
    """Find the taps that configs name.

    Args:
        configs (Sequence[str | dict]): ``taps`` of :class:`.DiffusionUNet`.
        unet (nn.Module): A ``UNet2DConditionModel`` from which nothing has been removed.
        latent_stride (int): Pixels per latent. Defaults to 8.

    Returns:
        tuple[tuple[Tap]]: For each feature, the taps to concatenate.

    Raises:
        ValueError: A place does not exist or is listed twice, its tensor is not a map, or the strides of a concatenated
            feature differ.
    """
    places = {tap.name: tap for tap in list_taps(unet, latent_stride)}
    features, seen = [], set()
    for config in configs:
        config = dict(module=config) if isinstance(config, str) else config
        modules = [config['module']] if isinstance(config['module'], str) else config['module']
        names = [tensor_name(module, config.get('tensor', 'output')) for module in modules]
        for name in names:
            if name in seen:
                raise ValueError(f'taps: {name!r} is listed twice: expected each place once')
            if name not in places:
                raise ValueError(f'taps: {_missing(name, places)}')
            seen.add(name)
        features.append(tuple(places[name] for name in names))
        if len(strides := sorted({tap.stride for tap in features[-1]})) > 1:
            raise ValueError(
                f'taps: {", ".join(names)} have the strides {strides} and cannot be concatenated: make each of them a '
                'tap, and resize the features with out_strides'
            )
    return tuple(features)


def _missing(name, places) -> str:
    if PER_PROMPT.search(name) and tensor_name(name.rpartition('.')[0]) in places:
        return (
            f'{name!r} has a vector for each prompt, not for each cell of the image, so it is not a feature map. '
            "Choose the queries ('...attn2.to_q'), or the maps of cross_attention"
        )
    if name.endswith('(input)') and name.removesuffix(' (input)') in places:
        return f"{name!r}: tensor='input' is for norm1, norm2 and norm3 of a transformer block"
    nearest = ' or '.join(map(repr, nearest_names(name, list(places))))
    return f'{name!r} is not a place of this U-Net: {f"did you mean {nearest}? " if nearest else ""}{WHERE_LISTED}'
