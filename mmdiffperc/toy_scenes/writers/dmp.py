"""Image-to-image targets, read by :class:`.ImageTargetDataset`.

An image folder with captions, and an lmdb for each target.
"""

import numpy as np

from mmdiffperc.generative.target_files import encode_npz, encode_png
from mmdiffperc.generative.target_stores import lmdb_errors, new_database, put
from mmdiffperc.inference.metadata import METADATA, metadata_line
from mmdiffperc.toy_scenes.vocabulary import TOY_PALETTE

from .base import SPLITS, Writer, make_folder, share_image, to_uint8

TARGETS = ('normals', 'depth', 'albedo', 'shading', 'segmentation')
MAP_SIZE = 1 << 36  # bytes a file may grow to; it is sparse while being written


class DmpWriter(Writer):
    """``dmp/{train,val}/`` with images and ``metadata.jsonl``, and ``dmp/targets/{train,val}/<target>/`` (lmdb).

    A line of ``metadata.jsonl`` holds ``file_name`` and ``text`` (a list of captions). An lmdb maps the file name to

    - ``normals``: PNG, ``(n + 1) / 2`` in eight bits;
    - ``albedo``, ``shading``: PNG, [0, 1] in eight bits (shading above 1 is clipped);
    - ``segmentation``: PNG, ``TOY_PALETTE``'s colours;
    - ``depth``: npz, array ``x`` (H, W), float32, metres.
    """

    def __init__(self, root):
        super().__init__(root)
        self.metadata = {split: [] for split in SPLITS}
        with lmdb_errors(root):
            self.databases = {
                (split, target): new_database(make_folder(root / 'dmp/targets' / split / target), MAP_SIZE)
                for split in SPLITS
                for target in TARGETS
            }

    @staticmethod
    def write_scene(root, sample):
        """Write the image; return its line of metadata and its encoded targets."""
        share_image(root, sample, f'dmp/{sample.split}')
        line = metadata_line(sample.file_name, sample.captions)
        return sample.split, sample.file_name, line, encode_targets(sample.rendering)

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
            (make_folder(self.root / 'dmp' / split) / METADATA).write_text(''.join(lines))


def encode_targets(rendering):
    """Encode every target of a rendering: ``{target: bytes}``."""
    return dict(
        normals=encode_png(to_uint8((rendering.normals + 1) / 2)),
        depth=encode_npz(rendering.depth),
        albedo=encode_png(to_uint8(rendering.albedo)),
        shading=encode_png(to_uint8(rendering.shading)),
        segmentation=encode_png(np.array(TOY_PALETTE, np.uint8)[rendering.semantic]),
    )
