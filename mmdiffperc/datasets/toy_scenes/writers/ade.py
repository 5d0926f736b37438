"""Semantic segmentation in ADE20K's folders, read by mmseg's ``ADE20KDataset`` (``img_suffix='.png'``)."""

from .base import Writer, share_image, write_png

FOLDERS = {'train': 'training', 'val': 'validation'}


class AdeWriter(Writer):
    """``ade/images/{training,validation}/*.png`` and ``ade/annotations/...``: index in `TOY_CLASSES` plus one.

    ADE20K keeps 0 for "ignored" and reads with ``reduce_zero_label=True``; toy scenes ignore nothing.
    """

    @staticmethod
    def write_scene(root, sample):
        folder = FOLDERS[sample.split]
        share_image(root, sample, f'ade/images/{folder}')
        write_png(root / 'ade/annotations' / folder / sample.file_name, sample.rendering.semantic + 1)
