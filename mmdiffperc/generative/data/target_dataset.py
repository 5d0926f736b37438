"""Images, each with a caption and a target map: the data set, which needs no host."""

import random
from pathlib import Path
from typing import Annotated, Literal

from mmengine.dataset import BaseDataset

from mmdiffperc.files import brief
from mmdiffperc.inference.metadata import list_images, read_metadata
from mmdiffperc.nearest import what_is_there
from mmdiffperc.progress import progress
from mmdiffperc.registry import DATASETS
from mmdiffperc.validation import Expected, Text, validated

from .target_stores import find_keys, open_targets

MAPS = 'target', 'mask', 'depth'
ExtraKey = Annotated[Text | Literal[''], Expected("'r', 's', another key, or ''")]


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
            Optionally ``mask_path``, maps that are greater than 0 where a target is valid, and ``depth_path``, the
            depth with which ``LoadTarget`` compares the first normals, both stored like targets.
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
        if not {'img_path'} <= data_prefix.keys() <= {'img_path', *(f'{kind}_path' for kind in MAPS)}:
            raise ValueError(
                f'data_prefix: expected img_path and, for targets, target_path, mask_path and depth_path, got '
                f'{data_prefix!r}'
            )
        self.target_extra_key = target_extra_key
        super().__init__(ann_file=ann_file, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images.

        Returns:
            list[dict]: For each image: ``img_path``; ``captions``; and, if there are targets, ``target_path``, their
            folder or database, and ``target_key``, the key in it. Masks and depth likewise.
        """
        folder = Path(self.data_prefix['img_path'])
        images = read_metadata(self.ann_file) if self.ann_file else list_images(folder)
        if missing := [name for name, _ in progress(images, folder.name, 'image') if not (folder / name).is_file()]:
            raise FileNotFoundError(
                f'{len(missing)} of {len(images)} images are missing in {folder}, such as {brief(missing[0])}; '
                f'{what_is_there(str(folder), Path(missing[0]).suffix)}'
            )
        infos = [dict(img_path=str(folder / name), captions=captions) for name, captions in images]
        for kind in MAPS:  # all must exist before training starts
            if f'{kind}_path' in self.data_prefix:
                store = open_targets(self.data_prefix[f'{kind}_path'])
                extra_key = self.target_extra_key if kind == 'target' else None
                keys = find_keys(store, [name for name, _ in images], extra_key)
                for info, key in zip(infos, keys, strict=True):
                    info |= {f'{kind}_path': str(store.path), f'{kind}_key': key}
        return infos

    def get_data_info(self, idx: int) -> dict:
        """Return the information about an image, with its caption as ``text`` if it has one."""
        info = super().get_data_info(idx)
        if captions := info.pop('captions'):
            info['text'] = captions[0] if self.test_mode else random.choice(captions)
        return info
