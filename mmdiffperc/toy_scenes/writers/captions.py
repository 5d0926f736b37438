"""Captions of the scenes, for the images of all other formats."""

import json

from .base import SPLITS, Writer, write_file


class CaptionWriter(Writer):
    """``train.json`` and ``val.json``: captions by the names of the images without suffix, in the format of TADP.

    :class:`.LoadCaption` reads them. The images of a scene have the same name in every format, but training and
    validation scenes may have the same name, too.
    """

    def __init__(self, root, splits=SPLITS):
        super().__init__(root, splits)
        self.captions = {split: {} for split in splits}

    @staticmethod
    def write_scene(root, sample):
        """Return the split, the name and the captions of the scene."""
        return sample.split, sample.name, sample.captions

    def add(self, record):
        """Collect the captions of one scene."""
        split, name, captions = record
        self.captions[split][name] = dict(captions=list(captions))

    def close(self):
        """Write the files."""
        for split, captions in self.captions.items():
            write_file(self.root / f'{split}.json', json.dumps(captions, indent=0) + '\n')
