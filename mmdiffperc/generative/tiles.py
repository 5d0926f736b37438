"""Cut very large images into overlapping tiles, and blend the predictions for the tiles."""

from collections.abc import Callable, Iterator
from itertools import product

import torch

Place = tuple[slice, slice]


def predict_in_tiles(
    images: torch.Tensor, predict: Callable[[torch.Tensor, Place], torch.Tensor], size: int, overlap: int
) -> torch.Tensor:
    """Predict images tile by tile. Where tiles overlap, the weight of each falls linearly towards its border.

    Args:
        images (Tensor): ``(B, 3, H, W)``.
        predict (Callable): From a tile ``(B, 3, h, w)`` and its place, the slices of its rows and columns, to maps
            ``(B, C, h, w)``.
        size (int): Length of the sides of a tile. Along a shorter axis of the images, there is a single tile.
        overlap (int): Smallest number of pixels that neighbouring tiles share.

    Returns:
        Tensor: Maps ``(B, C, H, W)``.
    """
    places = list(product(*(list(_spans(side, size, overlap)) for side in images.shape[-2:])))
    predicted = [predict(images[..., rows, columns], (rows, columns)) for rows, columns in places]
    total = predicted[0].new_zeros(*predicted[0].shape[:2], *images.shape[-2:])
    weights = total.new_zeros(images.shape[-2:])
    for (rows, columns), maps in zip(places, predicted, strict=True):
        ramp = torch.outer(*(_ramp(side, overlap, maps.device) for side in maps.shape[-2:])).to(maps)
        total[..., rows, columns] += ramp * maps
        weights[rows, columns] += ramp
    return total / weights


def _spans(side: int, size: int, overlap: int) -> Iterator[slice]:
    """Yield the extents of tiles of one size along an axis; the last one ends at the border."""
    start = 0
    while start + size < side:
        yield slice(start, start + size)
        start += size - overlap
    yield slice(max(side - size, 0), side)


def _ramp(side: int, overlap: int, device: torch.device) -> torch.Tensor:
    """Return weights that rise through the overlap at the beginning of a tile, and fall through the one at its end."""
    ascending = torch.arange(1, side + 1, device=device)
    to_border = torch.minimum(ascending, ascending.flip(0))
    return to_border.clamp(max=overlap + 1)
