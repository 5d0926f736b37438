"""The size at which a network processes an image, as in diffusers' pipelines of Marigold."""

import torch
from diffusers.pipelines.marigold.marigold_image_processing import MarigoldImageProcessor


def processed_size(size: tuple[int, int], processing_res: int) -> tuple[int, int]:
    """Return the height and width at which an image is processed, without padding.

    Args:
        size (tuple[int, int]): Height and width of the image.
        processing_res (int): Length of the longer side; 0 keeps the size.
    """
    if not processing_res:
        return tuple(size)
    return tuple(side * processing_res // max(size) for side in size)


def to_processed(images: torch.Tensor, processing_res: int, stride: int) -> torch.Tensor:
    """Resize images ``(B, 3, H, W)``, and repeat their last rows and columns up to multiples of a stride.

    Raises:
        ValueError: A side would have no pixels.
    """
    if processing_res:
        images = MarigoldImageProcessor.resize_to_max_edge(images, processing_res, 'bilinear')
    return MarigoldImageProcessor.pad_image(images, stride)[0]
