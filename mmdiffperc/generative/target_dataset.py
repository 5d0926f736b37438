"""Images, each with a caption and a target map: the data set and its transforms, which need no host."""

import random
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
import torch
from mmengine.dataset import BaseDataset
from mmengine.structures import BaseDataElement, PixelData

from mmdiffperc.files import brief
from mmdiffperc.inference.metadata import list_images, read_metadata
from mmdiffperc.nearest import what_is_there
from mmdiffperc.registry import DATASETS, TRANSFORMS
from mmdiffperc.validation import Expected, PositiveFloat, Text, validated

from .target_codec import CHANNELS, TargetMode
from .target_files import decode_target, to_rgb, to_unit_range
from .target_stores import find_keys, open_targets

LARGEST = 2**24  # the largest range in which single precision represents every whole number
ExtraKey = Annotated[Text | Literal[''], Expected("'r', 's', another key, or ''")]
_HOLES = (
    'The model learns every pixel, since the autoencoder encodes whole images: fill missing values, or omit the map'
)
META_KEYS = ('img_path', 'target_path', 'target_key', 'ori_shape', 'img_shape', 'scale_factor', 'text')


@DATASETS.register_module()
@validated
class ImageTargetDataset(BaseDataset):
    """A folder of images with ``metadata.jsonl``, and their targets in an lmdb or a folder: the layout of DMP.

    A line of ``metadata.jsonl`` holds the ``file_name`` of an image, relative to the folder, and its caption or list of
    captions as ``text``. Training draws a random one each time; testing uses the first. Without this file, the data set
    consists of all images in the folder, without captions.

    The file name identifies the target, see :func:`.find_keys`; ``LoadTarget`` reads it. ``target_path`` may be omitted
    if there are no targets.

    Args:
        data_prefix (dict): ``img_path``, the folder of images, and ``target_path``, the targets; below ``data_root``.
        ann_file (str): The metadata. Defaults to '', which means ``metadata.jsonl`` beside the images.
        target_extra_key (str, optional): Which of several targets of an image to read from a database of DMP's official
            tools, the option of this name: ``'r'`` for albedo, ``'s'`` for shading, or '' for the one without an extra
            key. Default: the only one that there is.
        **kwargs: Arguments of mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: A folder, an image or a target is missing; the message names the first.
        ValueError: ``data_prefix`` has other keys; the metadata or the database is damaged; the database has several
            targets of an image, or one target for several images.
        ImportError: The targets are in an lmdb, and the package lmdb is not installed.
    """

    def __init__(self, data_prefix: dict, ann_file: str = '', target_extra_key: ExtraKey | None = None, **kwargs):
        if not {'img_path'} <= data_prefix.keys() <= {'img_path', 'target_path'}:
            raise ValueError(f'data_prefix: expected img_path and, for targets, target_path, got {data_prefix!r}')
        self.target_extra_key = target_extra_key
        super().__init__(ann_file=ann_file, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images.

        Returns:
            list[dict]: For each image: ``img_path``; ``captions``; and, if there are targets, ``target_path``, their
            folder or database, and ``target_key``, the key in it.
        """
        folder = Path(self.data_prefix['img_path'])
        images = read_metadata(self.ann_file) if self.ann_file else list_images(folder)
        if missing := [name for name, _ in images if not (folder / name).is_file()]:
            raise FileNotFoundError(
                f'{len(missing)} of {len(images)} images are missing in {folder}, such as {brief(missing[0])}; '
                f'{what_is_there(str(folder), Path(missing[0]).suffix)}'
            )
        infos = [dict(img_path=str(folder / name), captions=captions) for name, captions in images]
        if 'target_path' in self.data_prefix:  # all targets must exist before training starts
            targets = open_targets(self.data_prefix['target_path'])
            keys = find_keys(targets, [name for name, _ in images], self.target_extra_key)
            for info, key in zip(infos, keys, strict=True):
                info.update(target_path=str(targets.path), target_key=key)
        return infos

    def get_data_info(self, idx: int) -> dict:
        """Return the information about an image, with its caption as ``text`` if it has one."""
        info = super().get_data_info(idx)
        if captions := info.pop('captions'):
            info['text'] = captions[0] if self.test_mode else random.choice(captions)
        return info


@TRANSFORMS.register_module()
@validated
class LoadTarget:
    """Load the target map of an image.

    Place it after the loader of the image. In training pipelines it comes before resizing and cropping: mmseg's
    transforms apply to everything in ``seg_fields``, with nearest-neighbour interpolation. In test pipelines it comes
    after them, because a prediction has the size of the image before resizing. (Do not flip normals: those of a flipped
    scene point in the other direction.)

    Required keys: ``target_path`` and ``target_key`` from ``ImageTargetDataset``, and ``ori_shape``. Without
    ``target_path``, for instance with your own image in a test pipeline, the transform does nothing. Added key:
    ``gt_target``, ``(H, W, 3)`` or ``(H, W)`` in single precision. Modified key: ``seg_fields``.

    Args:
        mode (str): ``'RGB'``: three channels, either numbers in [0, 1], or integers of 8 or 16 bits, which are divided
            by 255 or 65535. Images of 8 bits may be grey, such as shading, or have an alpha channel, which is dropped.
            ``'F'``: one channel of any numbers, at most 2^24 in magnitude. Defaults to ``'RGB'``.
        rescale_factor (float): For mode ``'F'``: a factor such as 0.001, which converts millimetres to metres. Defaults
            to 1.

    Raises:
        FileNotFoundError: There is no such target.
        ValueError: When building: an unknown mode, or a factor for RGB. When loading: the target is damaged, does not
            fit the mode, has signed 8-bit numbers, is not finite or too large, or differs in size from the image.
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
        if self.mode == 'RGB' and target.dtype == np.uint8:  # 16 bits of grey are rather depth
            target = to_rgb(target)
        self._check(target, name)
        if (size := tuple(results['ori_shape'])) != target.shape[:2]:
            raise ValueError(
                f'{name}: the target is {target.shape[:2]}, its image {results.get("img_path")} is {size} (height, '
                'width); check that the two belong together'
            )
        target = to_unit_range(target, name) if self.mode == 'RGB' else self._rescale(target.reshape(size), name)
        results['gt_target'] = target.astype(np.float32)
        results.setdefault('seg_fields', []).append('gt_target')
        return results

    def _check(self, target, name):
        channels = 1 if target.ndim == 2 else target.shape[2]
        # Signed 8-bit numbers have overflowed: neither colours nor depth fit into 127.
        if channels != CHANNELS[self.mode] or target.dtype.kind not in 'fiu' or target.dtype == np.int8:
            raise ValueError(
                f'{name}: mode={self.mode!r} expects numbers (channels: {CHANNELS[self.mode]}), got {target.dtype} '
                f'of {target.shape} (height, width[, channels]); set mode to the mode of the data'
            )
        if number := np.count_nonzero(~np.isfinite(target)):
            raise ValueError(
                f'{name}: {number} of {target.size} numbers of the target are NaN or infinite; expected only finite '
                f'numbers. {_HOLES}'
            )

    def _rescale(self, target, name):
        target = target.astype(np.float64) * self.rescale_factor  # half precision would overflow, or round
        if (largest := np.abs(target).max()) > LARGEST:
            raise ValueError(
                f'{name}: the target has numbers up to {largest:.4g}, expected at most {LARGEST}; set rescale_factor. '
                f'{_HOLES}'
            )
        return target


@TRANSFORMS.register_module()
@validated
class PackTargetInputs:
    """Pack the inputs of :class:`.DeterministicDiffusion` and of the metrics of target maps.

    Required key: ``img``, ``(H, W, 3)``. Optional keys: ``gt_target``; paths, shapes and the caption ``text``, which
    become metainfo of the sample.

    The result has ``inputs``, the image ``(3, H, W)``, and ``data_samples``, a ``BaseDataElement`` whose ``gt_target``
    is a ``PixelData`` with ``data`` ``(3 or 1, H, W)``.
    """

    def __call__(self, results: dict) -> dict:
        """Pack the image and the data sample."""
        sample = BaseDataElement(metainfo={key: results[key] for key in META_KEYS if key in results})
        if 'gt_target' in results:
            sample.gt_target = PixelData(data=to_channels_first(results['gt_target']))
        return dict(inputs=to_channels_first(results['img']), data_samples=sample)


def to_channels_first(image: np.ndarray) -> torch.Tensor:
    """Convert an image ``(H, W, C)``, or ``(H, W)``, to a tensor ``(C, H, W)``."""
    return torch.from_numpy(np.ascontiguousarray(np.atleast_3d(image).transpose(2, 0, 1)))
