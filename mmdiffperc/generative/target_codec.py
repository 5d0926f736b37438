"""Conversion between target maps and the images that the autoencoder encodes and decodes."""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement

from mmdiffperc.validation import Expected, PositiveFloat, validated

CHANNELS = {'RGB': 3, 'F': 1}
PER_IMAGE = 'per_image'
TargetMode = Literal[tuple(CHANNELS)]
TargetScale = Annotated[PositiveFloat | Literal[PER_IMAGE], Expected(f'a positive number or {PER_IMAGE!r}')]


@validated
class TargetCodec:
    """Convert target maps to images for the autoencoder, and decoded images to maps.

    - ``'RGB'``: colours in [0, 1], such as normals as ``(n + 1) / 2``, albedo, shading or coloured classes.
    - ``'F'``: one channel in any unit, such as depth in metres. It is divided by ``target_scale`` and repeated in three
      channels; decoded channels are averaged, clipped at 0 but not above, and multiplied by ``target_scale``.

    Args:
        mode (str): ``'RGB'`` or ``'F'``. Defaults to ``'RGB'``.
        target_scale (float | str): For mode ``'F'``: the value that becomes 1, such as 8 metres; or ``'per_image'``,
            which stretches each map from its minimum to its maximum, in training and testing. Defaults to 1.

    Raises:
        ValueError: An unknown mode, a scale that is not positive, or a scale for RGB targets.
    """

    def __init__(self, mode: TargetMode = 'RGB', target_scale: TargetScale = 1.0):
        if mode == 'RGB' and target_scale != 1:
            raise ValueError(f'target_scale={target_scale!r} is for target_mode="F"; RGB targets are in [0, 1] already')
        self.mode = mode
        self.target_scale = target_scale

    def encode(self, targets: torch.Tensor) -> torch.Tensor:
        """Convert target maps ``(B, 3 or 1, H, W)`` to images ``(B, 3, H, W)``, in [-1, 1] if within the scale.

        Raises:
            ValueError: The maps have the channels of the other mode, or integers.
        """
        self._check(targets)
        if self.target_scale == PER_IMAGE:
            targets = stretch(targets)
        elif self.mode == 'F':
            targets = targets / self.target_scale
        return (targets * 2 - 1).expand(-1, 3, -1, -1)

    def decode(self, images: torch.Tensor) -> torch.Tensor:
        """Convert decoded images ``(B, 3, H, W)`` to target maps ``(B, 3 or 1, H, W)``."""
        if self.mode == 'RGB':
            return self.clip(images / 2 + 0.5)
        maps = self.clip(images.mean(1, keepdim=True) / 2 + 0.5)
        return stretch(maps) if self.target_scale == PER_IMAGE else maps * self.target_scale

    def clip(self, maps: torch.Tensor) -> torch.Tensor:
        """Clip colours to [0, 1], and one channel at 0."""
        return maps.clamp(0, 1 if self.mode == 'RGB' else None)

    def crop(self, target: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Remove the padding at the bottom and the right of a target map ``(C, H, W)`` before stretching it."""
        height, width = size
        cropped = target[:, :height, :width]
        return stretch(cropped[None])[0] if self.target_scale == PER_IMAGE else cropped

    def resize(self, target: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Resize a target map ``(C, H, W)`` bicubically, and clip the overshoot."""
        resized = F.interpolate(target[None], size, mode='bicubic', antialias=True)[0]
        return self.clip(resized)

    def _check(self, targets):
        channels = CHANNELS[self.mode]
        if targets.dim() != 4 or targets.shape[1] != channels or not targets.is_floating_point():
            raise ValueError(
                f'target_mode={self.mode!r} expects floating-point targets of {channels} channel(s), got '
                f'{targets.dtype} of shape {tuple(targets.shape)} (batch, channels, height, width): set target_mode to '
                'the mode of the data, or check the transform that loads the targets'
            )


def stretch(maps: torch.Tensor) -> torch.Tensor:
    """Stretch each map ``(B, C, H, W)`` so that its minimum becomes 0 and its maximum 1; a constant map becomes 0."""
    low, high = maps.amin((1, 2, 3), keepdim=True), maps.amax((1, 2, 3), keepdim=True)
    return (maps - low) / torch.where(high > low, high - low, 1)


def targets_of(data_samples: Sequence[BaseDataElement], images: torch.Tensor) -> torch.Tensor:
    """Return the true targets ``(B, C, H, W)`` of data samples, one for each of the images ``(B, 3, H, W)``.

    Raises:
        ValueError: The numbers of data samples and images differ, a target is missing, or its size differs from that of
            the images.
    """
    if len(data_samples or ()) != len(images):
        raise ValueError(
            f'expected a data sample for each of {len(images)} images, got {len(data_samples or ())}: check the '
            'pipeline, or the code that calls the model'
        )
    if lacking := [sample.get('img_path') for sample in data_samples if 'gt_target' not in sample]:
        raise ValueError(f'the data sample of {lacking[0]} has no gt_target: training needs LoadTarget in the pipeline')
    targets, size = [sample.gt_target.data for sample in data_samples], images.shape[-2:]
    for sample, target in zip(data_samples, targets, strict=True):
        if target.shape[-2:] != size:
            raise ValueError(
                f'{sample.get("img_path")}: the target is {tuple(target.shape[-2:])}, the images {tuple(size)} '
                '(height, width). Load the target before Resize, and train on images of one size'
            )
    return torch.stack(targets)
