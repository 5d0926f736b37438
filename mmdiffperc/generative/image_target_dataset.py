"""Images, each with a caption and a target map."""

import random
from pathlib import Path

from mmengine.dataset import BaseDataset

from mmdiffperc.files import brief
from mmdiffperc.inference.metadata import list_images, read_metadata
from mmdiffperc.nearest import what_is_there
from mmdiffperc.registry import DATASETS
from mmdiffperc.validation import validated

from .target_stores import open_targets


@DATASETS.register_module()
@validated
class ImageTargetDataset(BaseDataset):
    """A folder of images with ``metadata.jsonl``, and their targets in an lmdb or a folder: the layout of DMP.

    A line of ``metadata.jsonl`` holds the ``file_name`` of an image, within its folder, and its caption as ``text``, or
    a list of captions, of which training draws one each time and testing takes the first. Without that file all images
    of the folder are taken, without captions.

    Targets are found by the file name, see :class:`.LmdbTargets` and
    :class:`.FolderTargets`; ``LoadTarget`` reads them. Without ``target_path`` there
    are none.

    Args:
        data_prefix (dict): ``img_path``, the folder of images, and ``target_path``, the targets; below ``data_root``.
        ann_file (str): The metadata, if not ``metadata.jsonl`` beside the images. Defaults to ''.
        **kwargs: Arguments of mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: A folder, an image or a target is missing; the message names the first.
        ValueError: When building: ``data_prefix`` has other keys. When loading: the metadata are not as described, or
            a database is damaged.
        ImportError: The targets are in an lmdb, and the package is not installed.
    """

    def __init__(self, data_prefix: dict, ann_file: str = '', **kwargs):
        if not isinstance(data_prefix, dict) or not {'img_path'} <= data_prefix.keys() <= {'img_path', 'target_path'}:
            raise ValueError(f'data_prefix: expected img_path and, for targets, target_path, got {data_prefix!r}')
        super().__init__(ann_file=ann_file, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images.

        Returns:
            list[dict]: Of every image: ``img_path``, ``captions``, and, with targets, ``target_path``, where they lie,
            and ``target_key``, the image's name.
        """
        folder = Path(self.data_prefix['img_path'])
        images = read_metadata(self.ann_file) if self.ann_file else list_images(folder)
        if missing := [name for name, _ in images if not (folder / name).is_file()]:
            raise FileNotFoundError(
                f'{len(missing)} of {len(images)} images are missing in {folder}, such as {brief(missing[0])}; '
                f'{what_is_there(str(folder), Path(missing[0]).suffix)}'
            )
        target = self._target_info([name for name, _ in images])
        return [
            dict(img_path=str(folder / name), captions=captions, target_key=name, **target) for name, captions in images
        ]

    def get_data_info(self, idx: int) -> dict:
        """Information of an image, its caption as ``text`` if it has one."""
        info = super().get_data_info(idx)
        if captions := info.pop('captions'):
            info['text'] = captions[0] if self.test_mode else random.choice(captions)
        return info

    def _target_info(self, names):
        """Return where the targets are, and check now that all exist, not when training reads the first missing one."""
        if 'target_path' not in self.data_prefix:
            return {}
        targets = open_targets(self.data_prefix['target_path'])
        if missing := targets.missing(names):
            raise FileNotFoundError(
                f'{len(missing)} of {len(names)} targets are missing in {targets.path}, such as that of '
                f'{brief(missing[0])}: {targets.describe(missing[0])}'
            )
        return dict(target_path=str(targets.path))
