"""NYU Depth v2, checked while it is loaded."""

from pathlib import PurePath

from mmengine import fileio
from mmseg.datasets import NYUDataset
from mmseg.registry import DATASETS

from mmdiffperc.nearest import what_is_there
from mmdiffperc.validation import validated

UNKNOWN_SCENE = -1


# Under mmseg's name, too, so that the checks reach the configs that people have.
@DATASETS.register_module(name=['CheckedNYUDataset', 'NYUDataset'], force=True)
@validated
class CheckedNYUDataset(NYUDataset):
    """mmseg's ``NYUDataset``, which says what is wrong with a folder instead of failing later.

    A file whose name has no digit, before which the scene would stand, is of no known scene. Like all data sets of
    mmseg, it is checked when it is built, see :func:`.check_seg_dataset`.

    Args:
        **kwargs: Arguments of mmseg's ``NYUDataset``.

    Raises:
        FileNotFoundError: The folder of the images does not exist, or holds none; an image has no depth map. The
            message says what is there.
        ValueError: The depth maps are probably not in metres, have no depth at all, or one cannot be read.
    """

    def load_data_list(self) -> list[dict]:
        """List the images with their depth maps and the number of their scene, ``category_id``."""
        folder = self.data_prefix['img_path']
        if not fileio.isdir(folder, self.backend_args):
            raise FileNotFoundError(
                f'{folder} is not a folder; check data_root and data_prefix. tools/dataset_converters/nyu.py writes '
                'NYU Depth v2, tools/make_toy_scenes.py --formats nyu toy scenes'
            )
        frames = super().load_data_list()
        if not frames:
            there = what_is_there(folder, self.img_suffix, self.backend_args)
            raise FileNotFoundError(f'{folder}: no image with img_suffix={self.img_suffix!r}. {there}')
        return frames

    def _get_category_id_from_filename(self, image_fname: str) -> int:
        if not any(map(str.isdigit, PurePath(image_fname).name)):
            return UNKNOWN_SCENE
        return super()._get_category_id_from_filename(image_fname)
