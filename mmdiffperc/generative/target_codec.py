"""Targets as images, which is all that the autoencoder knows."""

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
    """Turn target maps into images for the autoencoder, and what it decodes into maps again.

    - ``'RGB'``: colours in [0, 1], such as those of normals (``(n + 1) / 2``), albedo, shading or a coloured
      segmentation.
    - ``'F'``: one channel of any unit, such as depth in metres. Divided by ``target_scale``, it fills three equal
      channels; decoded, these are averaged and multiplied again. Only below are they clipped, at 0.

    Args:
        mode (str): ``'RGB'`` or ``'F'``. Defaults to ``'RGB'``.
        target_scale (float | str): Of mode ``'F'``: what counts as 1, such as 8 metres; or ``'per_image'``, which
            stretches each map from its minimum to its maximum, in training as in testing. Defaults to 1.

    Raises:
        ValueError: Another mode, a scale that is not positive, or one for RGB targets, which have none.
    """

    def __init__(self, mode: TargetMode = 'RGB', target_scale: TargetScale = 1.0):
        if mode == 'RGB' and target_scale != 1:
            raise ValueError(f'target_scale={target_scale!r} is for target_mode="F"; RGB targets are in [0, 1] already')
        self.mode = mode
        self.target_scale = target_scale

    def encode(self, targets: torch.Tensor) -> torch.Tensor:
        """Turn target maps ``(B, 3 or 1, H, W)`` into images ``(B, 3, H, W)``, in [-1, 1] if within the scale.

        Raises:
            ValueError: They are of the other mode, or integers.
        """
        self._check(targets)
        if self.target_scale == PER_IMAGE:
            targets = stretch(targets)
        elif self.mode == 'F':
            targets = targets / self.target_scale
        return (targets * 2 - 1).expand(-1, 3, -1, -1)

    def decode(self, images: torch.Tensor) -> torch.Tensor:
        """Turn decoded images ``(B, 3, H, W)`` into target maps ``(B, 3 or 1, H, W)``."""
        if self.mode == 'RGB':
            return self.clip(images / 2 + 0.5)
        maps = self.clip(images.mean(1, keepdim=True) / 2 + 0.5)
        return stretch(maps) if self.target_scale == PER_IMAGE else maps * self.target_scale

    def clip(self, maps: torch.Tensor) -> torch.Tensor:
        """Clip what no target can be: colours outside [0, 1], or else what is below 0."""
        return maps.clamp(0, 1 if self.mode == 'RGB' else None)

    def crop(self, target: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Cut off what was padded below and right of a target map ``(C, H, W)``; it does not count for its stretch."""
        height, width = size
        cropped = target[:, :height, :width]
        return stretch(cropped[None])[0] if self.target_scale == PER_IMAGE else cropped

    def resize(self, target: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
        """Resize a target map ``(C, H, W)`` bicubically, without what that overshoots."""
        resized = F.interpolate(target[None], size, mode='bicubic', antialias=True)[0]
        return self.clip(resized)

    def _check(self, targets):
        channels = CHANNELS[self.mode]
        if targets.dim() != 4 or targets.shape[1] != channels or not targets.is_floating_point():
            raise ValueError(
                f'target_mode={self.mode!r} expects floating-point targets of {channels} channel(s), got '
                f'{targets.dtype} of shape {tuple(targets.shape)} (batch, channels, height, width): choose the mode of '
                'the data, or check what loads the targets'
            )


def stretch(maps: torch.Tensor) -> torch.Tensor:
    """Map the minimum of each map ``(B, C, H, W)`` to 0 and its maximum to 1; a constant map becomes 0."""
    low, high = maps.amin((1, 2, 3), keepdim=True), maps.amax((1, 2, 3), keepdim=True)
    return (maps - low) / torch.where(high > low, high - low, 1)


def targets_of(data_samples: Sequence[BaseDataElement], images: torch.Tensor) -> torch.Tensor:
    """Return the true targets ``(B, C, H, W)`` of data samples, one for each of the images ``(B, 3, H, W)``.

    Raises:
        ValueError: There are more or fewer than images, or one has no target, or one of another size than the images.
    """
    if len(data_samples or ()) != len(images):
        raise ValueError(
            f'expected a data sample for each of {len(images)} images, got {len(data_samples or ())}: check the '
            'pipeline, or what calls the model'
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
