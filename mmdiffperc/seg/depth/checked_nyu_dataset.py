"""NYU Depth v2, with file names of any form."""

import re
from collections.abc import Sequence
from pathlib import PurePath
from typing import Literal

from mmseg.datasets import NYUDataset
from mmseg.registry import DATASETS

from mmdiffperc.validation import validated

UNKNOWN_SCENE = -1
SceneMatch = Literal['whole', 'part']


def find_scene(path: str | PurePath, scenes: Sequence[str], match: SceneMatch = 'whole') -> int:
    """Return the index of the scene class that the name of an image states, or -1 if it states none.

    Args:
        path (str | PurePath): The image, such as ``'office_kitchen_0001a_00012.jpg'``.
        scenes (Sequence[str]): Names of the scene classes.
        match (str): ``'whole'`` compares the part of the file name before the first digit, without the character in
            front of the digit, as mmseg does. ``'part'`` returns the first scene in the list that occurs in
            ``<folder>_<file>``, as the original code of VPD does: ``study_room`` is then a ``study``. Defaults to
            'whole'.
    """
    path = PurePath(path)
    if match == 'part':
        text = '_'.join(path.parts[-2:])
        return next((index for index, scene in enumerate(scenes) if scene in text), UNKNOWN_SCENE)
    scene = re.split(r'\d', path.name, maxsplit=1)[0][:-1]
    return scenes.index(scene) if scene in scenes else UNKNOWN_SCENE


@DATASETS.register_module()
@validated
class CheckedNYUDataset(NYUDataset):
    """mmseg's ``NYUDataset``, which also accepts file names without a scene and can match scenes as VPD does.

    An image of an unknown scene has the scene class -1. (mmseg fails for a name without a digit.) Like every data set
    of mmseg, it is checked when it is built, see :func:`.check_seg_dataset`.

    Args:
        scene_match (str): How the scene class is found in a file name, ``'whole'`` or ``'part'``, see
            :func:`.find_scene`. The recipe of mmseg uses 'whole', the original recipe of VPD 'part'. Defaults to
            'whole'.
        **kwargs: Arguments of mmseg's ``NYUDataset``.
    """

    def __init__(self, scene_match: SceneMatch = 'whole', **kwargs):
        self.scene_match = scene_match
        super().__init__(**kwargs)

    def _get_category_id_from_filename(self, image_fname: str) -> int:
        return find_scene(image_fname, self._metainfo['classes'], self.scene_match)
