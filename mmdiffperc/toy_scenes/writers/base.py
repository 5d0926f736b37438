"""The samples that all formats are written from, and the interface of their writers."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from mmdiffperc.inference.writers import encode_png
from mmdiffperc.toy_scenes.render import Rendering

SPLITS = ('train', 'val')


@dataclass(frozen=True)
class Sample:
    """One scene, ready to be written.

    Args:
        split (str): One of ``SPLITS``.
        index (int): Its number within the split.
        image_id (int): Its number within the data set, starting at 1.
        name (str): File name without suffix: the scene category, as in NYU, and the index.
        rendering (Rendering): The scene with its ground truth.
        captions (tuple[str]): Sentences that describe the whole scene.
        references (tuple[tuple[int, Expression, str]]): Sentences that refer to one object each, see
            :func:`.described_objects`.
    """

    split: str
    index: int
    image_id: int
    name: str
    rendering: Rendering
    captions: tuple
    references: tuple

    @property
    def file_name(self):
        """str: Name of the image within the folder of its split."""
        return f'{self.name}.png'

    @cached_property
    def png(self):
        """bytes: The image, encoded once for all formats."""
        return encode_png(self.rendering.image)


class Writer:
    """Writes one format. Any process may write the files of a scene; one process collects the rest, scene by scene.

    Args:
        root (Path): Folder of the format.
        splits (Sequence[str]): The splits to write, some of ``SPLITS``.
    """

    def __init__(self, root, splits=SPLITS):
        self.root = root
        self.splits = splits

    @staticmethod
    def write_scene(root, sample):
        """Write the files of one scene; return the record that :meth:`.Writer.add` needs, picklable, or None."""

    def add(self, record):
        """Collect the record of the next scene."""

    def close(self):
        """Write the files that cover all scenes."""


def write_file(path, content):
    """Write bytes or text, and create the parent folders."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def to_uint8(array):
    """Quantise [0, 1] to eight bits; values outside are clipped."""
    return np.round(255 * np.clip(array, 0, 1)).astype(np.uint8)
