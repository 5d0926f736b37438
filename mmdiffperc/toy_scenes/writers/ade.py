"""Semantic segmentation in ADE20K's folders, read by :class:`.ToyScenesDataset` of ``mmdiffperc.seg``.

Any ``BaseSegDataset`` with ``img_suffix='.png'``, ``reduce_zero_label=True`` and the classes in its ``metainfo`` reads
it too; so does ``ADE20KDataset``, but that one knows no class names other than ADE20K's.
"""

from .base import Writer, share_image, write_png

FOLDERS = {'train': 'training', 'val': 'validation'}


class AdeWriter(Writer):
    """``ade/images/{training,validation}/*.png`` and ``ade/annotations/...``: index in ``TOY_CLASSES`` plus one.

    ADE20K keeps 0 for what is to be ignored; toy scenes ignore nothing.
    """

    @staticmethod
    def write_scene(root, sample):
        """Write the image and its label map."""
        folder = FOLDERS[sample.split]
        share_image(root, sample, f'ade/images/{folder}')
        write_png(root / 'ade/annotations' / folder / sample.file_name, sample.rendering.semantic + 1)
