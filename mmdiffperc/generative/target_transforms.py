"""Data transforms of target maps, which need no host."""

import numpy as np
import torch
from mmengine.structures import BaseDataElement, PixelData

from mmdiffperc.registry import TRANSFORMS
from mmdiffperc.validation import PositiveFloat, validated

from .target_codec import CHANNELS, TargetMode
from .target_files import decode_target
from .target_stores import open_targets

LARGEST = 2**24  # beyond, single precision cannot tell neighbouring whole numbers apart
_HOLES = 'All pixels are learnt, since the autoencoder takes whole images: fill what was not measured, or omit the map'
META_KEYS = ('img_path', 'target_path', 'target_key', 'ori_shape', 'img_shape', 'scale_factor', 'text')


@TRANSFORMS.register_module()
@validated
class LoadTarget:
    """Load the target map of an image.

    Stands after the image's loader. For training, it stands before whatever resizes or crops: mmseg's transforms change
    all that ``seg_fields`` names alike, and pick the nearest pixel. For testing, it stands after that, because
    predictions have the size which the image has when it is loaded. (Flipping does not go with normals: those of the
    flipped scene point the other way.)

    Required keys: ``target_path`` and ``target_key``, as ``ImageTargetDataset`` gives them, and ``ori_shape``. Without
    ``target_path``, as when a test pipeline runs on your own image, it does nothing. Added key: ``gt_target``,
    ``(H, W, 3)`` or ``(H, W)``, single precision. Modified key: ``seg_fields``.

    Args:
        mode (str): ``'RGB'``: three channels, numbers in [0, 1] or else 8 or 16 bits, which are divided by their
            maximum. ``'F'``: one channel of any numbers up to 2^24, also negative ones. Defaults to ``'RGB'``.
        rescale_factor (float): Of mode ``'F'``: the unit of the file, such as 0.001 where millimetres are to become
            metres. Defaults to 1.

    Raises:
        FileNotFoundError: There is no such target.
        ValueError: When building: another mode, or a factor for RGB. When loading: the target is damaged, of the other
            mode or of signed 8-bit numbers, not finite or too large, or differs in size from the image.
    """

    def __init__(self, mode: TargetMode = 'RGB', rescale_factor: PositiveFloat = 1.0):
        if mode == 'RGB' and rescale_factor != 1:
            raise ValueError(f'rescale_factor={rescale_factor} is for mode="F"; RGB targets are in [0, 1]')
        self.mode = mode
        self.rescale_factor = rescale_factor

    def __call__(self, results: dict) -> dict:
        """Load the target."""
        if 'target_path' not in results:
            return results
        content, name = open_targets(results['target_path']).read(results['target_key'])
        target = decode_target(content, name)
        self._check(target, name)
        if (size := tuple(results['ori_shape'])) != target.shape[:2]:
            raise ValueError(
                f'{name}: the target is {target.shape[:2]}, its image {results.get("img_path")} is {size} (height, '
                'width); check that the two belong together'
            )
        check_finite(target, name)  # first, since NaN and infinity are no fault of the unit
        target = self._to_unit_range(target, name) if self.mode == 'RGB' else self._rescale(target.reshape(size), name)
        results['gt_target'] = target.astype(np.float32)
        results.setdefault('seg_fields', []).append('gt_target')
        return results

    def _check(self, target, name):
        channels = 1 if target.ndim == 2 else target.shape[2]
        # Numbers of signed 8 bits are unsigned ones that have overflowed: neither colours nor depth fit into 127.
        if channels != CHANNELS[self.mode] or target.dtype.kind not in 'fiu' or target.dtype == np.int8:
            raise ValueError(
                f'{name}: mode={self.mode!r} expects numbers (channels: {CHANNELS[self.mode]}), got {target.dtype} '
                f'of {target.shape} (height, width[, channels]); choose the mode of the data'
            )

    def _rescale(self, target, name):
        target = target.astype(np.float64) * self.rescale_factor  # half precision would overflow, or round
        if (largest := np.abs(target).max()) > LARGEST:
            raise ValueError(
                f'{name}: the target has numbers up to {largest:.4g}, expected at most {LARGEST}; set rescale_factor. '
                f'{_HOLES}'
            )
        return target

    @staticmethod
    def _to_unit_range(target, name):
        if target.dtype in (np.uint8, np.uint16):
            return target / np.iinfo(target.dtype).max
        if target.dtype.kind != 'f':
            raise ValueError(f'{name}: expected colours as uint8, uint16 or floating-point numbers, got {target.dtype}')
        if target.min() < 0 or target.max() > 1:
            raise ValueError(
                f'{name}: expected RGB targets in [0, 1], got {target.min():.4g} to {target.max():.4g}; normals, for '
                'one, are stored as (n + 1) / 2'
            )
        return target


def check_finite(target: np.ndarray, name: str):
    """Check that a target map holds neither NaN nor infinity.

    Raises:
        ValueError: It does; the message gives their number.
    """
    if number := np.count_nonzero(~np.isfinite(target)):
        raise ValueError(
            f'{name}: {number} of {target.size} numbers of the target are NaN or infinite; expected finite numbers '
            f'only. {_HOLES}'
        )


@TRANSFORMS.register_module()
@validated
class PackTargetInputs:
    """Pack what :class:`.DeterministicDiffusion` and the metrics of target maps take.

    Required key: ``img``, ``(H, W, 3)``. Others, if there: ``gt_target``, and those which become information of the
    sample: its paths, shapes, and its caption ``text``.

    The result has ``inputs``, the image ``(3, H, W)``, and ``data_samples``, a ``BaseDataElement`` whose ``gt_target``
    is a ``PixelData`` with ``data`` of ``(3 or 1, H, W)``.
    """

    def __call__(self, results: dict) -> dict:
        """Pack."""
        sample = BaseDataElement(metainfo={key: results[key] for key in META_KEYS if key in results})
        if 'gt_target' in results:
            sample.gt_target = PixelData(data=to_channels_first(results['gt_target']))
        return dict(inputs=to_channels_first(results['img']), data_samples=sample)


def to_channels_first(image: np.ndarray) -> torch.Tensor:
    """Convert an image ``(H, W, C)``, or ``(H, W)``, to a tensor ``(C, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1)))
