"""NYU Depth v2, with file names of any form."""

from pathlib import PurePath

from mmseg.datasets import NYUDataset
from mmseg.registry import DATASETS

from mmdiffperc.validation import validated

UNKNOWN_SCENE = -1


@DATASETS.register_module()
@validated
class CheckedNYUDataset(NYUDataset):
    """mmseg's ``NYUDataset``, which also accepts file names without a scene.

    mmseg reads the scene from the part of a file's name before the first digit, and fails for a name without a digit.
    Here, such an image has the scene -1. Like every data set of mmseg, it is checked when it is built, see
    :func:`.check_seg_dataset`.

    Args:
        **kwargs: Arguments of mmseg's ``NYUDataset``.
    """

    def _get_category_id_from_filename(self, image_fname: str) -> int:
        if not any(map(str.isdigit, PurePath(image_fname).name)):
            return UNKNOWN_SCENE
        return super()._get_category_id_from_filename(image_fname)
