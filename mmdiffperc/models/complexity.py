"""Parameters and multiply-adds of a model, by part."""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .backbones import DiffusionUNet

MAPS, OTHER, TOTAL = 'attention maps', 'other', 'total'
BACKBONE = 'backbone'
LAST = ('down_blocks', 'mid_block', 'up_blocks', 'conv_norm_out', 'conv_out')  # what the U-Net computes last, in order


class Complexity(NamedTuple):
    """Size and work of a part.

    Args:
        parameters (int): Number of parameters.
        multiply_adds (int): Multiplications that each come with an addition, for the whole batch.
    """

    parameters: int
    multiply_adds: int


def count_parts(model: nn.Module, without_maps: DiffusionUNet, images: torch.Tensor) -> dict[str, Complexity]:
    """Count the parameters and multiply-adds of the parts of a model whose backbone is a :class:`.DiffusionUNet`.

    PyTorch's ``FlopCounterMode`` counts convolutions, linear layers and matrix products, including those of fused
    attention. Norms, activations, softmax, interpolation and additions count as 0. A module that runs several times, as
    in refinement passes, counts each time.

    Args:
        model (nn.Module): The model, in evaluation mode; meta tensors are enough. It is frozen.
        without_maps (DiffusionUNet): The same backbone without cross-attention maps; if it has none, the backbone.
        images (Tensor): ``(B, 3, H, W)`` in [-1, 1].

    Returns:
        dict[str, Complexity]: The autoencoder, the layers and blocks of the U-Net with their strides, the prompts, the
        cross-attention maps, the other parts of the model, ``'other'`` for what belongs to no part, and ``'total'``.
    """
    for network in (model, without_maps):
        network.requires_grad_(False)  # FlopCounterMode would look for the gradient of prompts that are parameters
    whole = _count(lambda: model(images, mode='tensor'))
    plain = _count(lambda: without_maps(images))
    backbone, root = model.backbone, type(model).__name__
    counts = {
        label: Complexity(_parameters(backbone, name), _multiply_adds(plain, f'{type(backbone).__name__}.{name}'))
        for label, name in _backbone_parts(backbone)
    }
    counts[MAPS] = Complexity(0, _multiply_adds(whole, f'{root}.{BACKBONE}') - _multiply_adds(plain, 'Global'))
    for name, _ in model.named_children():
        if name != BACKBONE:
            counts[name] = Complexity(_parameters(model, name), _multiply_adds(whole, f'{root}.{name}'))
    total = Complexity(_parameters(model, ''), _multiply_adds(whole, 'Global'))
    of_parts = map(sum, zip(*counts.values(), strict=True))
    other = Complexity(*(each - counted for each, counted in zip(total, of_parts, strict=True)))
    counted = {label: complexity for label, complexity in (counts | {OTHER: other}).items() if any(complexity)}
    return counted | {TOTAL: total}


def _backbone_parts(backbone: DiffusionUNet) -> Iterator[tuple[str, str]]:
    """Yield label and name of the parts of a backbone."""
    yield 'autoencoder', 'autoencoder'
    levels = len(backbone.unet.config.block_out_channels)
    children = sorted(
        backbone.unet.named_children(), key=lambda child: LAST.index(child[0]) if child[0] in LAST else -1
    )
    for name, child in children:
        for index, _ in enumerate(child) if isinstance(child, nn.ModuleList) else ():
            level = index if name == 'down_blocks' else levels - 1 - index
            stride = backbone.autoencoder.stride * 2**level
            yield f'U-Net {name}.{index} (stride {stride})', f'unet.{name}.{index}'
        if not isinstance(child, nn.ModuleList):
            yield f'U-Net {name}', f'unet.{name}'
    yield 'prompts', 'prompts'


def _count(run: Callable[[], object]) -> dict[str, dict]:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        run()
    return counter.get_flop_counts()


def _parameters(model: nn.Module, name: str) -> int:
    return sum(weight.numel() for weight in model.get_submodule(name).parameters())


def _multiply_adds(counts: dict[str, dict], name: str) -> int:
    """Return the multiply-adds of a module and of its submodules if it was not called itself but its submodules."""
    inside = [each for each in counts if each == name or each.startswith(f'{name}.')]
    outermost = [each for each in inside if not any(each.startswith(f'{other}.') for other in inside)]
    return sum(sum(counts[each].values()) for each in outermost) // 2  # a multiply-add is two operations
