"""Depth in the folders of NYU Depth v2, read by mmseg's ``NYUDataset`` (``img_suffix='.png'``)."""

import numpy as np

from .base import Writer, share_image, write_png

FOLDERS = {'train': 'train', 'val': 'test'}
MILLIMETRES = 1000


class NyuWriter(Writer):
    """``nyu/images/{train,test}/<scene>_<number>.png`` and ``nyu/annotations/...``: 16-bit millimetres."""

    @staticmethod
    def write_scene(root, sample):
        """Write the image and its depth map."""
        folder = FOLDERS[sample.split]
        share_image(root, sample, f'nyu/images/{folder}')
        depth = np.round(sample.rendering.depth * MILLIMETRES).astype(np.uint16)
        write_png(root / 'nyu/annotations' / folder / sample.file_name, depth)
