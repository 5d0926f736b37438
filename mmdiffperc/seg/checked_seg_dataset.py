"""Your own data for semantic segmentation, checked while it is loaded."""

import warnings
from collections.abc import Sequence, Set
from typing import Annotated

from mmengine import fileio
from mmseg.datasets import BaseSegDataset
from mmseg.datasets.transforms import LoadAnnotations
from mmseg.registry import DATASETS

from mmdiffperc.files import brief
from mmdiffperc.nearest import check_listed, what_is_there
from mmdiffperc.validation import Expected, Label, validated

from .transforms import occurring_labels

NUM_JUDGED = 50
LabelMap = Annotated[dict[Label, Label], Expected('a dict from the label in a file to the number of its class')]


# Under mmseg's name, too, so that the checks reach the configs that people have.
@DATASETS.register_module(name=['CheckedSegDataset', 'BaseSegDataset'], force=True)
@validated
class CheckedSegDataset(BaseSegDataset):
    """mmseg's ``BaseSegDataset``, which says what is wrong with the files when it is built.

    Labels are judged over the first 50 label maps together, because a single map may well lack most classes. Maps that
    hold 0 and 255 only are refused: 255 is ignored, so the second class would never occur. A class that no map has is a
    warning. :class:`.CheckLabels` checks each map in the pipeline.

    Args:
        label_map (dict[int, int], optional): Which class a label in the files stands for, such as ``{255: 1}`` for
            masks of 0 and 255. Labels that it does not name stay as they are. It is applied by mmseg's
            ``LoadAnnotations``, after ``reduce_zero_label``.
        **kwargs: Arguments of mmseg's ``BaseSegDataset``.

    Raises:
        FileNotFoundError: The folder of the images does not exist, or holds none with ``img_suffix``; an image has no
            label map. The message says what is there.
        ValueError: One of the first label maps cannot be read, or several hold the labels 0 and ``ignore_index`` only.
    """

    def __init__(self, label_map: LabelMap | None = None, **kwargs):
        self._given_label_map = label_map and dict(label_map)
        super().__init__(**kwargs)

    def load_data_list(self) -> list[dict]:
        """List the images with their label maps."""
        folder, suffix = self.data_prefix['img_path'], self.img_suffix
        self._check_source(folder)
        samples = super().load_data_list()
        if not samples:
            there = what_is_there(folder, suffix, self.backend_args)
            raise FileNotFoundError(f'{self.ann_file or folder}: no image with img_suffix={suffix!r}. {there}')
        if self._given_label_map:
            samples = [sample | dict(label_map=self._given_label_map) for sample in samples]
        self._check_files(samples, 'img_path', 'img_suffix')
        if 'seg_map_path' in samples[0]:
            self._check_files(samples, 'seg_map_path', 'seg_map_suffix')
            self._judge(samples[:NUM_JUDGED])
        return samples

    def _check_source(self, folder):
        if self.ann_file and not fileio.isfile(self.ann_file):  # mmseg would take all images
            raise FileNotFoundError(
                f'ann_file={self.ann_file!r} does not exist or is not a file; it lists the names of the images'
            )
        if not fileio.isdir(folder, self.backend_args):
            raise FileNotFoundError(f'{folder} does not exist or is not a folder; check data_root and data_prefix')

    def _check_files(self, samples, key, option):
        paths = [sample[key] for sample in samples]
        check_listed(paths, self.data_prefix[key], option, getattr(self, option), self.backend_args)

    def _judge(self, samples):
        load = LoadAnnotations(backend_args=self.backend_args)
        labels = set()
        for sample in samples:
            try:
                loaded = load(sample | dict(seg_fields=[]))
            except (OSError, SyntaxError) as error:  # Pillow raises either, and names no file
                path = sample['seg_map_path']
                raise ValueError(f'{path}: empty, damaged or no label map; get the file again') from error
            labels |= set(occurring_labels(loaded['gt_seg_map']).tolist())
        where = f'{samples[0]["seg_map_path"]} and {len(samples) - 1} more label maps'
        # A single mask may be so; and where 0 means nothing, it is what becomes 255.
        refuse = len(samples) > 1 and not self.reduce_zero_label
        check_classes(labels, self.metainfo.get('classes', ()), self.ignore_index, where, refuse)


def check_classes(labels: Set[int], classes: Sequence[str], ignore_index: int, where: str, refuse: bool):
    """Check which classes occur in the label maps of a data set.

    Args:
        labels (Set[int]): The labels of all maps together.
        classes (Sequence[str]): Class names.
        ignore_index (int): The label that is not counted.
        where (str): The label maps, for the message.
        refuse (bool): Whether labels 0 and ``ignore_index`` alone are an error, or worth a warning only.

    Raises:
        ValueError: There are several classes, and no labels but 0 and ``ignore_index``.
    """
    if refuse and len(classes) > 1 and ignore_index in labels and labels <= {0, ignore_index}:
        raise ValueError(
            f'{where}: the labels are {sorted(labels)} only, and {ignore_index} is ignored, so at most the first of '
            f'the classes {brief(list(classes))} occurs. If {ignore_index} means class 1, set '
            f'label_map={{{ignore_index}: 1}} of CheckedSegDataset'
        )
    if missing := [name for label, name in enumerate(classes) if label not in labels]:
        warnings.warn(
            f'{where}: {len(missing)} of the {len(classes)} classes never occur, {brief(missing)}. Check the order of '
            'the class names and the numbers in the files, unless these classes are rare',
            stacklevel=2,
        )
