"""Image folders with one map per image, in the layouts of ADE20K and NYU Depth v2."""

import numpy as np

from mmdiffperc.inference.writers import encode_png
from mmdiffperc.toy_scenes.vocabulary import IGNORED

from .base import Writer, write_file

ADE_FOLDERS = {'train': 'training', 'val': 'validation'}
NYU_FOLDERS = {'train': 'train', 'val': 'test'}
MILLIMETRES = 1000


class AdeWriter(Writer):
    """Semantic segmentation: ``{images,annotations}/{training,validation}/*.png``.

    A label is the index in ``TOY_CLASSES`` plus one, or 0 for pixels that are ignored, as in ADE20K: the sky and the
    scenery of domain c. :class:`.ToyScenesDataset` reads the folder, and so does any ``BaseSegDataset`` with
    ``img_suffix='.png'``, ``reduce_zero_label=True`` and the classes in ``metainfo``.
    """

    @staticmethod
    def write_scene(root, sample):
        """Write the image and its label map."""
        _write_pair(root, ADE_FOLDERS[sample.split], sample, _labels_from_1(sample.rendering.semantic))


class NyuWriter(Writer):
    """Depth: ``images/{train,test}/<scene>_<number>.png``, and 16-bit millimetres in ``annotations/{train,test}``.

    As in NYU, 0 means that the depth is unknown: the sky of domain c. The ground there reaches up to 60 m.
    mmseg's ``NYUDataset`` reads the folder with ``img_suffix='.png'``.
    """

    @staticmethod
    def write_scene(root, sample):
        """Write the image and its depth map."""
        millimetres = np.round(sample.rendering.depth * MILLIMETRES).astype(np.uint16)
        _write_pair(root, NYU_FOLDERS[sample.split], sample, millimetres)


def _labels_from_1(semantic):
    return np.where(semantic == IGNORED, 0, semantic + 1).astype(np.uint8)


def _write_pair(root, folder, sample, array):
    write_file(root / 'images' / folder / sample.file_name, sample.png)
    write_file(root / 'annotations' / folder / sample.file_name, encode_png(array))
