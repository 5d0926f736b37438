"""Check images before the network processes them."""

import torch
from mmengine.logging import MMLogger

MAX_PLAUSIBLE = 1.5  # [-1, 1] with a margin for interpolation and noise
MAX_POSSIBLE = 16.0  # above the values of any normalisation, below those of pixels from 0 to 255
REMEDY = 'Set mean=[127.5] * 3, std=[127.5] * 3 and bgr_to_rgb=True in the data_preprocessor of the model'


class ImageCheck:
    """Check the form of every batch of images, and the values of the first batch only, which is the expensive part."""

    def __init__(self):
        self._has_seen_values = False

    def __call__(self, images: torch.Tensor, dtype: torch.dtype | None):
        """Check a batch.

        Args:
            images (Tensor): ``(B, 3, H, W)``, RGB in [-1, 1].
            dtype (torch.dtype, optional): Type of the network's weights; None if it converts the images to it.

        Raises:
            TypeError: The images are not a tensor of floating-point numbers, or their type differs from the weights
                while autocast is off.
            ValueError: The images have another shape, are empty, contain NaN or infinity, or are pixels from 0 to 255.
        """
        check_form(images)
        if images.dtype != dtype and not (images.is_floating_point() and _is_converted(images, dtype)):
            expected = 'floating-point numbers' if dtype is None else f'{dtype}, the type of the weights'
            raise TypeError(
                f'images: expected {expected}, got {images.dtype}. {REMEDY}, or convert the images to that type'
            )
        if not torch.compiler.is_compiling() and not self._has_seen_values:
            check_values(images)
            self._has_seen_values = True


def _is_converted(images, dtype) -> bool:
    """Return whether the network or autocast converts the images; autocast does not know the meta device."""
    return dtype is None or torch.is_autocast_enabled(images.device.type)


def check_form(images: torch.Tensor):
    """Check that images are a batch of RGB images.

    Raises:
        TypeError: The images are not a tensor.
        ValueError: Their shape is not ``(B, 3, H, W)``, or they are empty.
    """
    if not isinstance(images, torch.Tensor):
        raise TypeError(f'images: expected a tensor (B, 3, H, W), got {type(images).__name__}')
    if images.dim() != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ValueError(
            f'images: expected a batch of RGB images (B, 3, H, W), got a tensor of shape {tuple(images.shape)}'
        )


def check_values(images: torch.Tensor):
    """Check that the values of images are in [-1, 1]; small deviations cause a warning.

    Raises:
        ValueError: The images contain NaN or infinity, or are pixels from 0 to 255.
    """
    if type(images) is not torch.Tensor or images.is_meta or torch.jit.is_tracing():  # there are no values to read
        return
    least, most = (float(bound) for bound in images.aminmax())
    if not -float('inf') < least <= most < float('inf'):
        raise ValueError(f'images: expected values in [-1, 1], got {least} to {most}. Look for NaN in the input')
    message = f'images: expected values in [-1, 1], got {least:g} to {most:g}. {REMEDY}'
    if max(-least, most) > MAX_POSSIBLE:
        raise ValueError(message)
    if max(-least, most) > MAX_PLAUSIBLE:
        MMLogger.get_current_instance().warning(message)
