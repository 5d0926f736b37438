"""Conversion between target maps and the images that the autoencoder encodes and decodes."""

from collections.abc import Callable, Sequence
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from mmengine.structures import BaseDataElement

from mmdiffperc.models.layers.on_device import DeviceCopies
from mmdiffperc.validation import Expected, PositiveFloat, validated

from .normal_axes import INSIDE, Axes, to_inside

CHANNELS = {'RGB': 3, 'F': 1, 'normals': 3}
PER_IMAGE, QUANTILES = 'per_image', 'quantiles'
LOW_QUANTILE, HIGH_QUANTILE = 0.02, 0.98
SMALLEST_DISPARITY = 1e-3  # relative to the scale: a decoded disparity of 0 would be an infinite depth
TargetMode = Literal[tuple(CHANNELS)]
TargetScale = Annotated[
    PositiveFloat | Literal[PER_IMAGE, QUANTILES], Expected(f'a positive number, {PER_IMAGE!r} or {QUANTILES!r}')
]
TargetTransform = Literal['disparity', 'log']


@validated
class TargetCodec:
    """Convert target maps to images for the autoencoder, and decoded images to maps.

    - ``'RGB'``: colours in [0, 1], such as albedo, shading, coloured classes, or normals as ``(n + 1) / 2``.
    - ``'normals'``: unit vectors in [-1, 1], which are the image. Decoded vectors are clamped to [-1, 1] and divided by
      their length.
    - ``'F'``: one channel in any unit, such as depth in metres. It is transformed, scaled to [-1, 1] and repeated in
      three channels; decoded channels are averaged, and the scale and the transform are inverted.

    Relative scales, ``'per_image'`` and ``'quantiles'``, cannot be inverted: decoded maps range from 0 to 1, and are
    affine-invariant depth, disparity or logarithms of depth.

    Invalid pixels do not affect the scale of a map, and become mid-grey (0) in its image.

    Args:
        mode (str): ``'RGB'``, ``'normals'`` or ``'F'``. Defaults to ``'RGB'``.
        target_scale (float | str): For mode ``'F'``, what becomes the range from -1 to 1. A number: values from 0 to
            this number, such as 8 metres. Decoded values are clipped at 0, but not above. ``'per_image'``: from the
            minimum to the maximum of each map, also of decoded ones. ``'quantiles'``: from the 2 % to the 98 % quantile
            of each map, to which its values are clamped. Defaults to 1.
        transform (str, optional): For mode ``'F'``, what is scaled instead of the depth: its reciprocal,
            ``'disparity'``, or its natural logarithm, ``'log'``, which a number scales from ``-target_scale`` to
            ``target_scale``. Default: the depth itself.
        axes (str): For mode ``'normals'``, the axes of the vectors in the image: three letters or a name, see
            :mod:`.normal_axes`. Those of the maps are always ``'RUB'``. Defaults to ``'RUB'``.
        full_z_range (bool): For mode ``'normals'``: if False, the third channel of the image covers the components from
            0 to 1 only, as in the first Marigold. Defaults to True.

    Raises:
        ValueError: An unknown mode or transform, a scale that is not positive, a scale or transform for another mode
            than ``'F'``, or axes for another mode than ``'normals'``.
    """

    def __init__(
        self,
        mode: TargetMode = 'RGB',
        target_scale: TargetScale = 1.0,
        transform: TargetTransform | None = None,
        axes: Axes = INSIDE,
        full_z_range: bool = True,
    ):
        if mode != 'F' and (target_scale != 1 or transform):
            raise ValueError(
                f'target_scale={target_scale!r} and transform={transform!r} are for target_mode="F". The range of '
                f'{mode} targets is fixed: set target_scale=1 and no transform'
            )
        if mode != 'normals' and not (axes == INSIDE and full_z_range):
            raise ValueError(
                f'axes={axes!r} and full_z_range={full_z_range} are for target_mode="normals", got {mode!r}'
            )
        self._copies = DeviceCopies()
        self.mode = mode
        self.axes = axes
        self.full_z_range = full_z_range
        self.target_scale = target_scale
        self.transform = transform

    @property
    def is_relative(self) -> bool:
        """bool: Whether decoded maps lack the scale and shift of the targets."""
        return isinstance(self.target_scale, str)

    @property
    def kind(self) -> str:
        """str: What decoded maps are, ``colours``, ``normals``, ``metric``, ``affine``, ``disparity`` or ``log``.

        The last three are affine-invariant depth, its reciprocal and its logarithm.
        """
        if self.mode != 'F':
            return dict(RGB='colours', normals='normals')[self.mode]
        return (self.transform or 'affine') if self.is_relative else 'metric'

    @property
    def unit(self) -> str:
        """str: Unit of decoded maps. Metric maps have the unit of the training data."""
        return 'as in the training data' if self.kind == 'metric' else 'none'

    def encode(self, targets: torch.Tensor, valid: torch.Tensor | None = None) -> torch.Tensor:
        """Convert target maps to images.

        Args:
            targets (Tensor): ``(B, C, H, W)``. Invalid pixels may have any values.
            valid (Tensor, optional): Boolean ``(B, 1, H, W)``. Default: the pixels whose values are finite.

        Returns:
            Tensor: Finite images ``(B, 3, H, W)``, in [-1, 1] if the targets are within the scale.

        Raises:
            ValueError: The maps have the channels of another mode, or integers; or, on the CPU, valid targets are not
                positive and there is a transform. On a GPU, such targets become NaN: :class:`.CheckFiniteHook` stops
                the training and names the images.
        """
        self._check(targets)
        if valid is None:
            valid = targets.isfinite().all(1, keepdim=True)
        if self.mode == 'normals':
            targets = self._draw_normals(targets)
        else:
            targets = self._to_unit_range(targets.where(valid, 1), valid) * 2 - 1
        return targets.expand(-1, 3, -1, -1).where(valid, 0)

    def to_maps(self, images: torch.Tensor) -> torch.Tensor:
        """Convert encoded or decoded images ``(B, 3, H, W)`` to the maps ``(B, 1 or 3, H, W)`` that losses compare.

        One channel is the mean of the three, clamped to [-1, 1]; normals are unit vectors; colours do not change.
        """
        if self.mode == 'F':
            return images.mean(1, keepdim=True).clamp(-1, 1)
        return self._read_normals(images) if self.mode == 'normals' else images

    def decode(self, images: torch.Tensor) -> torch.Tensor:
        """Convert decoded images ``(B, 3, H, W)`` to target maps ``(B, 1 or 3, H, W)``."""
        if self.mode == 'normals':
            return self._read_normals(images.clamp(-1, 1))
        if self.mode == 'RGB':
            return self.clip(images / 2 + 0.5)
        values = images.mean(1, keepdim=True)
        if self.transform == 'log' and not self.is_relative:
            return (values * self.target_scale).exp()
        values = self.clip(values / 2 + 0.5)
        if self.is_relative:
            return stretch(values) if self.target_scale == PER_IMAGE else values
        if self.transform == 'disparity':
            return 1 / (values.clamp(SMALLEST_DISPARITY) * self.target_scale)
        return values * self.target_scale

    def clip(self, maps: torch.Tensor) -> torch.Tensor:
        """Clip colours and ``'quantiles'`` to [0, 1], and another single channel at 0; normals become unit vectors."""
        if self.mode == 'normals':
            return F.normalize(maps, dim=-3)
        return maps.clamp(0, 1 if self.mode == 'RGB' or self.target_scale == QUANTILES else None)

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

    def _draw_normals(self, maps):
        images = torch.einsum('ij,bihw->bjhw', self._to_inside(maps), maps)
        if not self.full_z_range:
            images[:, 2] = images[:, 2] * 2 - 1
        return images

    def _read_normals(self, images):
        if not self.full_z_range:
            images = torch.cat([images[:, :2], images[:, 2:] / 2 + 0.5], dim=1)
        return F.normalize(torch.einsum('ij,bjhw->bihw', self._to_inside(images), images), dim=1)

    def _to_inside(self, maps):
        return self._copies.get(self.axes, lambda: torch.from_numpy(to_inside(self.axes)), maps.device, maps.dtype)

    def _to_unit_range(self, targets, valid):
        if self.mode == 'RGB':
            return targets
        values = self._transform(targets)
        if self.target_scale == PER_IMAGE:
            return stretch(values, valid)
        if self.target_scale == QUANTILES:
            return stretch(values, valid, _quantiles).clamp(0, 1)
        return values / self.target_scale if self.transform != 'log' else values / self.target_scale / 2 + 0.5

    def _transform(self, values):
        if self.transform is None:
            return values
        if values.device.type != 'cpu':  # the host would have to wait for the GPU to look at the values
            values = values.where(values > 0, torch.nan)
        elif not (smallest := values.min()) > 0:
            raise ValueError(
                f'transform={self.transform!r} expects positive targets, got {smallest:.4g}: if such values mean that '
                "the target is unknown, set invalid='mask' and valid_range in LoadTarget"
            )
        return 1 / values if self.transform == 'disparity' else values.log()


def _extremes(values, valid):
    return values.where(valid, torch.inf).amin(1), values.where(valid, -torch.inf).amax(1)


def _quantiles(values, valid):
    shares = torch.stack([values.new_full((), share) for share in (LOW_QUANTILE, HIGH_QUANTILE)])
    return values.where(valid, torch.nan).nanquantile(shares, dim=1)


def stretch(maps: torch.Tensor, valid: torch.Tensor | None = None, limits: Callable = _extremes) -> torch.Tensor:
    """Stretch each map so that one of its values becomes 0 and another 1; a constant map becomes 0.

    Args:
        maps (Tensor): ``(B, C, H, W)``.
        valid (Tensor, optional): The pixels that determine the two values, boolean ``(B, 1, H, W)``. Default: all.
        limits (Callable): From the values ``(B, N)`` of each map, and which of them are valid, to the two values, each
            ``(B,)``. Default: their minimum and maximum.
    """
    valid = torch.ones_like(maps, dtype=torch.bool) if valid is None else valid.expand_as(maps)
    pair = torch.stack(list(limits(maps.flatten(1), valid.flatten(1))))  # (2, B)
    low, high = pair.where(valid.flatten(1).any(1), 0).reshape(2, -1, 1, 1, 1)
    return (maps - low) / torch.where(high > low, high - low, 1)


def targets_of(data_samples: Sequence[BaseDataElement], images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the true targets of data samples, one for each of the images ``(B, 3, H, W)``.

    Returns:
        tuple[Tensor, Tensor]: The targets ``(B, C, H, W)``, and which of their pixels are valid, boolean ``(B, 1, H,
        W)``: those that are finite, and true in the data sample's ``gt_valid`` ``(1, H, W)`` if it has one.

    Raises:
        ValueError: The numbers of data samples and images differ, a target is missing, or the size of a target or of
            ``gt_valid`` differs from the size of the images.
    """
    if len(data_samples or ()) != len(images):
        raise ValueError(
            f'expected a data sample for each of {len(images)} images, got {len(data_samples or ())}: check the '
            'pipeline, or the code that calls the model'
        )
    if lacking := [sample.get('img_path') for sample in data_samples if 'gt_target' not in sample]:
        raise ValueError(f'the data sample of {lacking[0]} has no gt_target: training needs LoadTarget in the pipeline')
    targets = torch.stack([_map_of(sample, 'gt_target', images) for sample in data_samples])
    valid = targets.isfinite().all(1, keepdim=True)
    for sample, mask in zip(data_samples, valid, strict=True):
        if 'gt_valid' in sample:
            mask &= _map_of(sample, 'gt_valid', images).bool()
    return targets, valid


def _map_of(sample, key, images):
    data, size = sample.get(key).data, images.shape[-2:]
    if data.shape[-2:] != size:
        raise ValueError(
            f'{sample.get("img_path")}: {key} is {tuple(data.shape[-2:])}, the images {tuple(size)} (height, width). '
            'Load the target before Resize, and train on images of one size'
        )
    return data
