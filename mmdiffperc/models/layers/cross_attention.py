"""Cross-attention maps: where in the image the U-Net attends to each prompt."""

import re
from collections.abc import Sequence
from contextlib import nullcontext
from typing import Annotated, Literal

import torch
from diffusers.models.attention_processor import Attention, AttnProcessor2_0
from torch import nn

from mmdiffperc.registry import MODELS
from mmdiffperc.validation import Distinct, Expected, Listed, Stride, validated

from .recorder import Recorder

MapStrides = Annotated[
    Listed[Stride],
    Distinct,
    Expected('a list such as (16, 32) without repeated strides; to get no maps, leave cross_attention out'),
]
MapBlocks = Annotated[
    Listed[Literal['down', 'mid', 'up']], Distinct, Expected("a list of 'down', 'mid' and 'up', without repetition")
]

MAX_SCORES = 2**24  # attention probabilities to hold at a time: 64 MiB in single precision


class MapAttnProcessor(AttnProcessor2_0):
    """Fused attention that also records the attention probabilities ``(B, h * w, K)``, averaged over the heads.

    Args:
        name (str): Name of the layer, and of the record's entry.
        recorder (Recorder): Keeps the probabilities while it is recording.
        with_grad (bool): Let gradients flow through the probabilities. Defaults to False.
    """

    def __init__(self, name: str, recorder: Recorder, with_grad: bool = False):
        super().__init__()
        self.name = name
        self.recorder = recorder
        self.with_grad = with_grad

    def __call__(self, attn: Attention, hidden_states, encoder_hidden_states, *args, **kwargs):
        """Attend as diffusers' ``AttnProcessor2_0`` does; the probabilities are computed separately."""
        # Gradient checkpointing runs the layer again outside a recording, and must then save the same tensors.
        if self.recorder.is_recording or self.with_grad:
            self.recorder.keep(self.name, self._probabilities(attn, hidden_states, encoder_hidden_states))
        return super().__call__(attn, hidden_states, encoder_hidden_states, *args, **kwargs)

    def _probabilities(self, attn, hidden_states, encoder_hidden_states) -> torch.Tensor:
        with torch.set_grad_enabled(self.with_grad and torch.is_grad_enabled()), uncached_autocast(hidden_states):
            query = attn.to_q(hidden_states)  # (B, h * w, C)
            key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))  # (B * heads, K, C / heads)
            at_once = max(1, MAX_SCORES // key[..., 0].numel())
            if torch.compiler.is_compiling() or query.shape[1] <= at_once:
                return self._average_heads(attn, query, key)
            return torch.cat([self._average_heads(attn, chunk, key) for chunk in query.split(at_once, dim=1)], dim=1)

    def _average_heads(self, attn, query, key) -> torch.Tensor:
        scores = attn.get_attention_scores(attn.head_to_batch_dim(query), key)  # (B * heads, h * w, K)
        return scores.unflatten(0, (-1, attn.heads)).mean(1)


def uncached_autocast(tensor: torch.Tensor):
    """Return the current autocast without its cache of weights.

    Weights that were cast without gradients would stay in the cache and get no gradient later: pytorch#112583.
    """
    device = tensor.device.type
    if device == 'meta' or not torch.is_autocast_enabled(device):  # autocast does not support meta tensors
        return nullcontext()
    return torch.autocast(device, torch.get_autocast_dtype(device), cache_enabled=False)


@MODELS.register_module()
@validated
class CrossAttentionMaps:
    """Collect the maps of the cross-attention layers at some strides.

    As in `VPD <https://arxiv.org/abs/2303.02153>`_, the maps are softmax probabilities, averaged over the heads and
    then over the layers with the same stride. Layers that the backbone has removed, because no returned level needs
    them, are excluded. All other layers keep their fused attention.

    Args:
        strides (Sequence[int]): Strides of the layers, in pixels of the image. Defaults to (16, 32).
        blocks (Sequence[str]): Blocks of the layers: ``'down'``, ``'mid'`` and ``'up'``, the ``attn_selector`` of the
            official code. The middle block has the coarsest stride, 64 with Stable Diffusion. Defaults to
            ('down', 'up'), as in all released models of VPD.
        with_grad (bool): Let gradients flow through the maps. They do not in the official code, because its gradient
            checkpointing runs the forward pass without gradients; the backward pass then needs no memory for the maps.
            Defaults to False.
    """

    def __init__(self, strides: MapStrides = (16, 32), blocks: MapBlocks = ('down', 'up'), with_grad: bool = False):
        self.strides = tuple(strides)
        self.blocks = tuple(blocks)
        self.with_grad = with_grad
        self._layers = {stride: [] for stride in self.strides}

    def attach(self, unet: nn.Module, latent_stride: int, recorder: Recorder):
        """Set attention processors that report to ``recorder``.

        Args:
            unet (nn.Module): The network.
            latent_stride (int): Pixels per latent.
            recorder (Recorder): Keeps the maps of every layer during a recording.

        Raises:
            ValueError: A stride has no cross-attention layer in these blocks.
        """
        levels = len(unet.config.block_out_channels)
        processors = dict(unet.attn_processors)
        available = set()
        for name in processors:
            block, index = re.match(r'(down|mid|up)_blocks?\.(\d*)', name).groups()
            if block not in self.blocks or 'attn2' not in name:
                continue
            level = int(index) if block == 'down' else levels - 1 - int(index or 0)  # the middle block has no index
            stride = latent_stride * 2**level
            available.add(stride)
            if stride in self._layers:
                processors[name] = MapAttnProcessor(name, recorder, self.with_grad)
                attention = unet.get_submodule(name.removesuffix('.processor'))
                attention.upcast_softmax = True  # for weights in half precision
                self._layers[stride].append(name)
        if missing := set(self.strides) - available:
            raise ValueError(
                f'cross_attention: strides {sorted(missing)} have no cross-attention layer in the blocks '
                f'{", ".join(self.blocks)} of this U-Net; choose from {sorted(available)}'
            )
        unet.set_attn_processor(processors)

    def average(self, record: dict[str, torch.Tensor], stride: int, size: Sequence[int]) -> torch.Tensor:
        """Return the average map of the layers with one stride, ``(B, K, *size)``, one map per prompt."""
        maps = torch.stack([record[name] for name in self._layers[stride]])  # (layers, B, h * w, K)
        return maps.mean(0).transpose(1, 2).unflatten(2, tuple(size))
