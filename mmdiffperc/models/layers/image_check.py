"""Images, checked before the network sees them."""

import logging

import torch
from mmengine.logging import print_log

MAX_PLAUSIBLE = 1.5  # beyond [-1, 1], with room for what interpolation and noise add
MAX_POSSIBLE = 16.0  # no normalisation gives more; pixels from 0 to 255 do
REMEDY = 'Set mean=[127.5] * 3, std=[127.5] * 3 and bgr_to_rgb=True in the data_preprocessor of the model'


class ImageCheck:
    """Check the form of every batch of images, and the values of the first one, so that later ones cost nothing."""

    def __init__(self):
        self._has_seen_values = False

    def __call__(self, images: torch.Tensor, dtype: torch.dtype):
        """Check a batch.

        Args:
            images (Tensor): ``(B, 3, H, W)``, RGB in [-1, 1].
            dtype (torch.dtype): Type of the network's weights.

        Raises:
            TypeError: It is not a tensor, or a tensor of another type than the weights while autocast is off.
            ValueError: It has another shape, is empty, contains NaN or infinity, or holds pixels from 0 to 255.
        """
        check_form(images)
        if images.dtype != dtype and not (images.is_floating_point() and torch.is_autocast_enabled(images.device.type)):
            raise TypeError(
                f'images: expected {dtype}, the type of the weights, got {images.dtype}. {REMEDY}, or convert the '
                'images to the type of the weights'
            )
        if not torch.compiler.is_compiling() and not self._has_seen_values:
            check_values(images)
            self._has_seen_values = True


def check_form(images: torch.Tensor):
    """Check that images are a batch, before anything is asked of them.

    Raises:
        TypeError: They are not a tensor.
        ValueError: They have another shape than ``(B, 3, H, W)``, or are empty.
    """
    if not isinstance(images, torch.Tensor):
        raise TypeError(f'images: expected a tensor (B, 3, H, W), got {type(images).__name__}')
    if images.dim() != 4 or images.shape[1] != 3 or 0 in images.shape:
        raise ValueError(
            f'images: expected a batch of RGB images (B, 3, H, W), got a tensor of shape {tuple(images.shape)}'
        )


def check_values(images: torch.Tensor):
    """Check that images hold RGB in [-1, 1]; a smaller deviation is a warning.

    Raises:
        ValueError: They contain NaN or infinity, or hold pixels from 0 to 255.
    """
    if type(images) is not torch.Tensor or images.is_meta or torch.jit.is_tracing():  # no values, or none to look at
        return
    least, most = (float(bound) for bound in images.aminmax())
    if not -float('inf') < least <= most < float('inf'):
        raise ValueError(f'images: expected values in [-1, 1], got {least} to {most}. Look for NaN in the input')
    if max(-least, most) > MAX_POSSIBLE:
        raise ValueError(f'images: expected values in [-1, 1], got {least:g} to {most:g}. {REMEDY}')
    if max(-least, most) > MAX_PLAUSIBLE:
        print_log(
            f'images: expected values in [-1, 1], got {least:g} to {most:g}. {REMEDY}',
            logger='current',
            level=logging.WARNING,
        )
