"""The transforms of images with target maps, which need no host."""

import warnings
from typing import Annotated, Literal

import numpy as np
import torch
from mmengine.structures import BaseDataElement, PixelData
from pydantic import Field
from torch.utils.data import get_worker_info

from mmdiffperc.generative.normal_axes import Axes, to_inside
from mmdiffperc.generative.target_codec import CHANNELS, TargetMode
from mmdiffperc.registry import TRANSFORMS
from mmdiffperc.validation import Expected, FiniteFloat, Listed, PositiveFloat, validated

from .target_checks import doubts_of_depth, doubts_of_normals
from .target_files import decode_target, to_rgb, to_signed_range, to_unit_range
from .target_stores import open_targets

LARGEST = 2**24  # the largest range in which single precision represents every whole number
NO_DIRECTION = 0.01  # eight bits store mid-grey as 128 / 255, a normal of length 0.007
CHECKED = 4  # the first targets, in which a wrong unit or wrong axes would show
MIRRORED = dict(horizontal=[0], vertical=[1], diagonal=[0, 1])  # components of normals by direction
META_KEYS = ('img_path', 'target_path', 'target_key', 'ori_shape', 'img_shape', 'scale_factor', 'text')
_HOLES = "If such numbers mark pixels without a target, set invalid='mask'"
Range = Annotated[
    Listed[FiniteFloat], Field(min_length=2, max_length=2), Expected('two finite numbers, the lowest and the highest')
]


@TRANSFORMS.register_module()
@validated
class LoadTarget:
    """Load the target map of an image, and which of its pixels are valid.

    Place it after the loader of the image. In training pipelines it comes before resizing, cropping and flipping:
    mmseg's transforms apply to everything in ``seg_fields``, with nearest-neighbour interpolation. In test pipelines it
    comes after them, because a prediction has the size of the image before resizing.

    Images of a mirrored scene have other normals: with ``mode='normals'``, ``PackTargetInputs`` mirrors the normals of
    flipped images. Normals loaded as colours must not be flipped, and no normals may be rotated.

    Required keys: ``target_path`` and ``target_key`` from the data set, and ``ori_shape``. Without ``target_path``, for
    instance with your own image in a test pipeline, the transform does nothing. Optional keys: ``mask_path`` and
    ``mask_key``, a map of one channel that is greater than 0 where the target is valid; ``gt_valid``, such a map ``(H,
    W)`` itself; ``depth_path`` and ``depth_key``, the depth with which the first normals are compared.

    Added keys: ``gt_target``, ``(H, W, 3)`` or ``(H, W)`` in single precision, and 0 where it is not valid; unless
    every target must be valid everywhere, ``gt_valid``, ``(H, W)``, 1 where it is and 0 elsewhere; for normals,
    ``normal_fields``. Modified key: ``seg_fields``.

    The first targets are checked for a wrong unit and wrong axes. What looks wrong is a warning.

    Args:
        mode (str): ``'RGB'``: three channels, either numbers in [0, 1], or integers of 8 or 16 bits, which are divided
            by 255 or 65535. Images of 8 bits may be grey, such as shading, or have an alpha channel, which is dropped.
            ``'normals'``: unit vectors ``n``, as numbers in [-1, 1], or as ``(n + 1) / 2`` in integers of 8 or 16 bits.
            They become unit vectors in the axes of this package; the length 0 (mid-grey) and black mean that the
            normal is unknown. ``'F'``: one channel of any numbers, at most 2^24 in magnitude. Defaults to ``'RGB'``.
        rescale_factor (float): For mode ``'F'``: a factor such as 0.001, which converts millimetres to metres. Defaults
            to 1.
        axes (str): For mode ``'normals'``: the axes of the stored normals, as three letters or as the name of a data
            set or model, see :mod:`mmdiffperc.generative.normal_axes`. Defaults to ``'RUB'``: x right, y up, z towards
            the viewer.
        invalid (str): What to do with numbers that are NaN or infinite: ``'refuse'`` them, unless a mask excludes them,
            or ``'mask'`` them as pixels without a target. Defaults to ``'refuse'``.
        valid_range (Sequence[float], optional): For mode ``'F'`` with ``invalid='mask'``: the lowest and the highest
            valid value after rescaling, such as 0.001 and 80 metres. Default: all finite numbers are valid.

    Raises:
        FileNotFoundError: There is no such target or mask.
        ValueError: When building: an unknown mode or unknown axes, or an argument for another mode. When loading: the
            target is damaged, does not fit the mode, has signed 8-bit numbers, is not finite or too large, or it or its
            mask differs in size from the image.
    """

    def __init__(
        self,
        mode: TargetMode = 'RGB',
        rescale_factor: PositiveFloat = 1.0,
        axes: Axes = 'RUB',
        invalid: Literal['refuse', 'mask'] = 'refuse',
        valid_range: Range | None = None,
    ):
        if mode != 'F' and (rescale_factor != 1 or valid_range):
            raise ValueError(
                f'rescale_factor={rescale_factor} and valid_range={valid_range} are for mode="F". The range of {mode} '
                'targets is fixed: set neither'
            )
        if mode != 'normals' and axes != 'RUB':
            raise ValueError(f'axes={axes!r}: expected mode="normals", got mode={mode!r}')
        if valid_range and (invalid != 'mask' or not valid_range[0] < valid_range[1]):
            raise ValueError(
                f"valid_range={valid_range}: expected the lowest and a greater highest value with invalid='mask', got "
                f'invalid={invalid!r}'
            )
        self.mode = mode
        self.rescale_factor = rescale_factor
        self.axes = axes
        self.invalid = invalid
        self.valid_range = valid_range
        self.unchecked = CHECKED

    def __call__(self, results: dict) -> dict:
        """Load the target."""
        if 'target_path' not in results:
            return results
        target, name = self._read(results)
        mask = mask_of(results)  # (H, W, 1)
        valid = self._find_valid(target, mask, name)  # (H, W, 1)
        convert = dict(RGB=self._to_colours, normals=self._to_vectors, F=self._to_values)[self.mode]
        target, valid = convert(np.where(valid, target, 0), valid, name)
        target = np.where(valid, target, 0)
        self._check_first(target, valid, name, results)
        if self.mode == 'normals':
            target = target / np.where(valid, np.linalg.norm(target, axis=2, keepdims=True), 1)
            results.setdefault('normal_fields', []).append('gt_target')
        fields = dict(gt_target=(target[..., 0] if self.mode == 'F' else target).astype(np.float32))
        if mask is not None or self.invalid == 'mask' or self.mode == 'normals':
            fields['gt_valid'] = valid[..., 0].astype(np.uint8)  # OpenCV does not resize booleans
        results.update(fields)
        results.setdefault('seg_fields', []).extend(fields)
        return results

    def _read(self, results):
        """Read the numbers ``(H, W, C)`` as they are stored."""
        target, name = _read_map(results, 'target')
        if self.mode != 'F' and target.dtype == np.uint8:  # 16 bits of grey are rather depth
            target = to_rgb(target)
        channels = 1 if target.ndim == 2 else target.shape[2]
        # Signed 8-bit numbers have overflowed: neither colours nor depth fit into 127.
        if channels != CHANNELS[self.mode] or target.dtype.kind not in 'fiu' or target.dtype == np.int8:
            raise ValueError(
                f'{name}: mode={self.mode!r} expects numbers (channels: {CHANNELS[self.mode]}), got {target.dtype} '
                f'of {target.shape} (height, width[, channels]); set mode to the mode of the data'
            )
        check_size(target, name, results)
        return np.atleast_3d(target), name

    def _find_valid(self, target, mask, name):
        finite = np.isfinite(target)
        if mask is not None:
            finite |= ~mask
        if self.invalid == 'refuse' and (number := np.count_nonzero(~finite)):
            raise ValueError(
                f'{name}: {number} of {target.size} numbers of the target are NaN or infinite; expected only finite '
                f'numbers. {_HOLES}'
            )
        valid = finite.all(2, keepdims=True)
        return valid if mask is None else valid & mask

    def _to_colours(self, target, valid, name):
        return to_unit_range(target, name), valid

    def _to_vectors(self, target, valid, name):
        vectors = to_signed_range(target, name)
        is_black = (target == 0).all(2, keepdims=True)  # in integers, whose zero vector is mid-grey
        known = ~is_black & (np.linalg.norm(vectors, axis=2, keepdims=True) > NO_DIRECTION)
        return vectors @ to_inside(self.axes).T, valid & known

    def _to_values(self, target, valid, name):
        values = target.astype(np.float64) * self.rescale_factor  # half precision would overflow, or round
        if self.valid_range:
            low, high = self.valid_range
            valid = valid & (low <= values) & (values <= high)
        if (largest := np.abs(values).max(where=valid, initial=0)) > LARGEST:
            raise ValueError(
                f'{name}: the target has numbers up to {largest:.4g}, expected at most {LARGEST}; set rescale_factor. '
                f'{_HOLES}'
            )
        return values, valid

    def _check_first(self, target, valid, name, results):
        """Warn once if one of the first targets looks wrong, in one of the processes that load the data."""
        worker = get_worker_info()
        if not self.unchecked or (worker and worker.id):
            return
        self.unchecked -= 1
        if doubts := self._doubts(target, valid, results):
            self.unchecked = 0
            warnings.warn(f'{name}: {"; ".join(doubts)}', stacklevel=2)

    def _doubts(self, target, valid, results):
        if not valid.any():
            return ['no pixel of the target is valid']
        if self.mode == 'normals':
            depth = _single_channel(*_read_map(results, 'depth'), results) if 'depth_path' in results else None
            return doubts_of_normals(target, depth, self.axes)
        return doubts_of_depth(target[valid]) if self.mode == 'F' else []


@TRANSFORMS.register_module()
@validated
class PackTargetInputs:
    """Pack the inputs of generative models and of the metrics of target maps.

    The normals in ``normal_fields`` are mirrored if mmseg's ``RandomFlip`` has flipped the image, once: a horizontal
    flip negates x, and a vertical one y.

    Required key: ``img``, ``(H, W, 3)``. Optional keys: ``gt_target``; ``gt_valid``, ``(H, W)``, 1 where the target is
    valid; ``normal_fields``, ``flip`` and ``flip_direction``; paths, shapes and the caption ``text``, which become
    metainfo of the sample.

    The result has ``inputs``, the image ``(3, H, W)``, and ``data_samples``, a ``BaseDataElement`` whose ``gt_target``
    is a ``PixelData`` with ``data`` ``(3 or 1, H, W)``, and ``gt_valid``, if there is one, a boolean one ``(1, H, W)``.
    """

    def __call__(self, results: dict) -> dict:
        """Pack the image and the data sample."""
        sample = BaseDataElement(metainfo={key: results[key] for key in META_KEYS if key in results})
        if results.get('flip'):
            for key in results.get('normal_fields', ()):
                results[key][..., MIRRORED[results['flip_direction']]] *= -1
        if 'gt_target' in results:
            sample.gt_target = PixelData(data=to_channels_first(results['gt_target']))
        if 'gt_valid' in results:  # other numbers are those with which mmseg pads maps
            sample.gt_valid = PixelData(data=to_channels_first(results['gt_valid'] == 1))
        return dict(inputs=to_channels_first(results['img']), data_samples=sample)


def to_channels_first(image: np.ndarray) -> torch.Tensor:
    """Convert an image ``(H, W, C)``, or ``(H, W)``, to a tensor ``(C, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1)))


def _read_map(results, kind):
    """Read the target, mask or depth of an image, and return it with its name."""
    content, name = open_targets(results[f'{kind}_path']).read(results[f'{kind}_key'])
    return decode_target(content, name), name


def mask_of(results: dict) -> np.ndarray | None:
    """Return where the masks of the data set permit valid pixels, boolean ``(H, W, 1)``, or None without a mask.

    Raises:
        FileNotFoundError: There is no such mask.
        ValueError: A mask is damaged, has several channels, or has another size than the image.
    """
    masks = []
    if 'gt_valid' in results:
        masks.append(_single_channel(results['gt_valid'], f'gt_valid of {results.get("img_path")}', results))
    if 'mask_path' in results:
        masks.append(_single_channel(*_read_map(results, 'mask'), results))
    return np.all([mask > 0 for mask in masks], axis=0)[..., None] if masks else None


def _single_channel(array, name, results):
    """Return an array as ``(H, W)``."""
    check_size(array, name, results)
    if array.size != array.shape[0] * array.shape[1]:
        raise ValueError(f'{name}: expected one channel, got shape {array.shape} (height, width, channels)')
    return array.reshape(array.shape[:2])


def check_size(array: np.ndarray, name: str, results: dict):
    """Check that a map ``(H, W[, C])`` has the size of its image.

    Raises:
        ValueError: It has another size; the message calls it ``name``.
    """
    if (size := tuple(results['ori_shape'])) != array.shape[:2]:
        raise ValueError(
            f'{name} is {array.shape[:2]}, its image {results.get("img_path")} is {size} (height, width); check that '
            'the two belong together'
        )
