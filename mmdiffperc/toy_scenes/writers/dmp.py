"""Image-to-image targets: an image folder with captions, and an lmdb for each target."""

import numpy as np

from mmdiffperc.generative.data.target_stores import lmdb_errors, new_database, put
from mmdiffperc.generative.evaluation.coloured_segmentation import classes_to_colours
from mmdiffperc.inference.metadata import METADATA, metadata_line
from mmdiffperc.inference.writers import encode_npz, encode_png
from mmdiffperc.toy_scenes.vocabulary import TOY_PALETTE

from .base import SPLITS, Writer, to_uint8, write_file

TARGETS = ('normals', 'depth', 'albedo', 'shading', 'segmentation')
MAP_SIZE = 1 << 36  # the number of bytes that a file can hold; it takes only what it needs


class DmpWriter(Writer):
    """``{train,val}/`` with images and ``metadata.jsonl``, and ``targets/{train,val}/<target>/`` (lmdb).

    :class:`.ImageTargetDataset` reads them. A line of ``metadata.jsonl`` holds ``file_name`` and ``text``, a list of
    captions. An lmdb maps the file name to

    - ``normals``: PNG, ``(n + 1) / 2`` in eight bits; mid-grey for the sky;
    - ``albedo``, ``shading``: PNG, [0, 1] in eight bits (shading above 1 is clipped);
    - ``segmentation``: PNG, the colours of ``TOY_PALETTE``; black for the sky and the scenery;
    - ``depth``: npz, array ``x`` (H, W), float32, in metres; 0 for the sky.
    """

    def __init__(self, root, splits=SPLITS):
        super().__init__(root, splits)
        self.metadata = {split: [] for split in splits}
        with lmdb_errors(root):
            self.databases = {
                (split, target): self._new_database(split, target) for split in splits for target in TARGETS
            }

    @staticmethod
    def write_scene(root, sample):
        """Write the image; return its line of metadata and its encoded targets."""
        write_file(root / sample.split / sample.file_name, sample.png)
        line, rendering = metadata_line(sample.file_name, sample.captions), sample.rendering
        targets = dict(
            normals=encode_png(to_uint8((rendering.normals + 1) / 2)),
            depth=encode_npz(x=rendering.depth),
            albedo=encode_png(to_uint8(rendering.albedo)),
            shading=encode_png(to_uint8(rendering.shading)),
            segmentation=encode_png(classes_to_colours(rendering.semantic, np.array(TOY_PALETTE, np.uint8))),
        )
        return sample.split, sample.file_name, line, targets

    def add(self, record):
        """Store the targets of one scene."""
        split, file_name, line, targets = record
        self.metadata[split].append(line)
        with lmdb_errors(self.root):
            for target, value in targets.items():
                put(self.databases[split, target], file_name, value)

    def close(self):
        """Close the databases and write the metadata."""
        with lmdb_errors(self.root):
            for database in self.databases.values():
                database.sync(True)
                database.close()
        for split, lines in self.metadata.items():
            write_file(self.root / split / METADATA, ''.join(lines))

    def _new_database(self, split, target):
        folder = self.root / 'targets' / split / target
        folder.mkdir(parents=True)
        return new_database(folder, MAP_SIZE)
