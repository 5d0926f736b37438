"""Images and targets named by a split list, the form in which the field distributes its splits."""

from pathlib import Path

from mmengine.dataset import BaseDataset

from mmdiffperc.files import brief, relative_name
from mmdiffperc.nearest import what_is_there
from mmdiffperc.progress import progress
from mmdiffperc.registry import DATASETS
from mmdiffperc.validation import validated

NO_TARGET = 'None'
FORM = '"image target [mask or focal length]"'


@DATASETS.register_module()
@validated
class ListedTargetDataset(BaseDataset):
    """Images and their targets, named by a split list such as those of Marigold, BTS or VPD.

    A line of the list names an image, its target and possibly a mask, relative to their folders. :func:`.parse_split`
    describes the form. ``LoadPublishedTarget`` reads the targets of published data sets; ``LoadTarget`` reads npz, npy
    and png files of your own.

    Args:
        ann_file (str): The split list; below ``data_root`` unless the path is absolute.
        data_prefix (dict, optional): ``img_path`` and ``target_path``, the folders of the images and of the targets and
            masks; below ``data_root``. Default: ``data_root``.
        has_masks (bool): The third word of each line names a mask, which is nonzero where the target is valid. Other
            lists may have a third word that is not used, such as KITTI's focal length. Defaults to False.
        **kwargs: Arguments of mmengine's ``BaseDataset``.

    Raises:
        FileNotFoundError: The list, an image, a target or a mask is missing; the message names the first.
        ValueError: ``data_prefix`` has other keys, a line has another form, or a line names no mask although
            ``has_masks`` is set.
    """

    def __init__(self, ann_file: str, data_prefix: dict | None = None, has_masks: bool = False, **kwargs):
        folders = dict(img_path='', target_path='') | (data_prefix or {})
        if len(folders) > 2:
            raise ValueError(f'data_prefix: expected some of img_path and target_path, got {data_prefix!r}')
        self.has_masks = has_masks
        super().__init__(ann_file=ann_file, data_prefix=folders, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the list.

        Returns:
            list[dict]: For each image with a target: ``img_path``; ``target_path``, the folder of the targets, and
            ``target_key``, the name in it; and with masks, ``mask_path`` and ``mask_key`` likewise.
        """
        if not Path(self.ann_file).is_file():
            raise FileNotFoundError(
                f'{self.ann_file}: no such split list; set ann_file to its path, below data_root or absolute'
            )
        images, targets = (Path(self.data_prefix[key]) for key in ('img_path', 'target_path'))
        infos, files = [], []
        for image, target, mask in parse_split(Path(self.ann_file).read_bytes(), self.ann_file):
            info = dict(img_path=str(images / image), target_path=str(targets), target_key=target)
            files += [images / image, targets / target]
            if self.has_masks:
                info.update(mask_path=str(targets), mask_key=self._checked(mask, image))
                files.append(targets / mask)
            infos.append(info)
        if missing := [file for file in progress(files, Path(self.ann_file).name, 'file') if not file.is_file()]:
            raise FileNotFoundError(
                f'{len(missing)} of {len(files)} files listed in {self.ann_file} are missing, such as {missing[0]}; '
                f'{what_is_there(str(missing[0].parent), missing[0].suffix)}'
            )
        return infos

    def _checked(self, mask, image):
        if mask is None:
            raise ValueError(
                f'{self.ann_file}: has_masks=True expects lines "image target mask", but the line of {brief(image)} '
                'names no mask'
            )
        return mask


def parse_split(content: bytes, name: str) -> list[tuple[str, str, str | None]]:
    """Read the lines ``image target [mask or focal length]`` of a split list.

    Blank lines, lines that begin with ``#``, and lines whose target is ``None``, as in BTS's list of KITTI, are left
    out. Leading slashes are removed.

    Args:
        content (bytes): Content of the file in UTF-8, with or without a byte order mark.
        name (str): Name of the file, for messages.

    Returns:
        list[tuple[str, str, str | None]]: Image, target and third word of each line with a target.

    Raises:
        ValueError: A line has another form or leads out of the folder, no line has a target, or the file is not text.
    """
    try:
        text = content.decode('utf-8-sig')
    except UnicodeDecodeError as error:
        raise ValueError(f'{name} is not text: expected lines {FORM}') from error
    rows = []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith('#'):
            continue
        if len(words) not in (2, 3):
            raise ValueError(f'{name}, line {number}: expected {FORM}, got {brief(line)}')
        if words[1] != NO_TARGET:
            image, target, *third = (relative_name(word.lstrip('/'), f'{name}, line {number}') for word in words)
            rows.append((image, target, third[0] if third else None))
    if not rows:
        raise ValueError(f'{name}: no line names an image with a target: expected lines {FORM}')
    return rows
