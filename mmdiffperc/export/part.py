"""A part of a model that can be exported, and what its file says about it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import nn

# Names of axes whose length depends on the batch or on the size of the image.
BATCH, HEIGHT, WIDTH = 'batch', 'height', 'width'
LATENT_HEIGHT, LATENT_WIDTH = 'latent_height', 'latent_width'


def from_minus_one_to_one(shape: Sequence[int]) -> torch.Tensor:
    """Return random numbers in [-1, 1]."""
    return torch.rand(shape) * 2 - 1


def whole_numbers(least: int, limit: int) -> Callable[[Sequence[int]], torch.Tensor]:
    """Return a function that makes random whole numbers from ``least`` to less than ``limit``."""
    return lambda shape: torch.randint(least, limit, tuple(shape))


@dataclass(frozen=True)
class Input:
    """An input of an exported part.

    Args:
        axes (tuple[int | str]): Length of each axis, or its name if the length depends on the batch or the image.
        meaning (str): What the tensor holds.
        example (Callable): Makes an example from a shape. Default: random numbers in [-1, 1].
    """

    axes: tuple[int | str, ...]
    meaning: str
    example: Callable[[Sequence[int]], torch.Tensor] = from_minus_one_to_one


IMAGE = Input((BATCH, 3, HEIGHT, WIDTH), 'RGB image, normalised as (pixel - mean) / std with pixels from 0 to 255')


@dataclass(frozen=True)
class Part:
    """A part of a model that can be exported: a module whose inputs and outputs are tensors.

    Args:
        module (nn.Module): Takes the inputs in order, and returns a tensor or a tuple of tensors.
        inputs (Mapping[str, Input]): The inputs by name.
        outputs (Mapping[str, str]): Name and meaning of each output.
        stride (int): Pixels of the image per latent. Defaults to 1.
        coarsest (int): Largest number of pixels per cell of a feature. Defaults to 1.
        fixed (tuple[str]): Axes whose length cannot be dynamic. Defaults to ().
        size (Sequence[int], optional): Height and width of the images for which the model was configured.
        metadata (Mapping[str, str]): Further facts for the file.
    """

    module: nn.Module
    inputs: Mapping[str, Input]
    outputs: Mapping[str, str]
    stride: int = 1
    coarsest: int = 1
    fixed: tuple[str, ...] = ()
    size: Sequence[int] | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)

    def examples(self, batch_size: int, size: Sequence[int]) -> tuple[torch.Tensor, ...]:
        """Return random inputs for a batch of images of a height and width."""
        latent_height, latent_width = (-(-side // self.stride) for side in size)
        names = BATCH, HEIGHT, WIDTH, LATENT_HEIGHT, LATENT_WIDTH
        lengths = dict(zip(names, (batch_size, *size, latent_height, latent_width), strict=True))
        return tuple(each.example([lengths.get(axis, axis) for axis in each.axes]) for each in self.inputs.values())

    def dynamic_axes(self) -> tuple[dict[int, str], ...]:
        """Return index and name of the axes of each input whose length can be dynamic."""
        return tuple(
            {index: axis for index, axis in enumerate(each.axes) if isinstance(axis, str) and axis not in self.fixed}
            for each in self.inputs.values()
        )
