"""What every on-disk format is written from, and the interface it is written through."""

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

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
        image_id (int): Its number within the data set, from 1.
        name (str): File name without suffix: NYU's scene name, and the index.
        rendering (Rendering): The scene with its ground truth.
        captions (tuple[str]): Sentences about all of it.
        references (tuple[tuple[int, str]]): Sentences about one object each, see :func:`.referring_expressions`.
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
        """str: Of the image, within the folder of its split."""
        return f'{self.name}.png'


class Writer:
    """Writes one format. Files of a single scene are written by any process, indices by one, in the scenes' order.

    Args:
        root (Path): Of the data set.
    """

    def __init__(self, root):
        self.root = root

    @staticmethod
    def write_scene(root, sample):
        """Write the files of one scene; return what :meth:`.Writer.add` needs of it (to be pickled), or None."""

    def add(self, record):
        """Take what :meth:`.Writer.write_scene` returned for the next scene."""

    def close(self):
        """Write what covers all scenes."""


def image_path(root, sample):
    """Return where the image itself lies, once for all formats."""
    return root / 'images' / sample.split / sample.file_name


def write_png(path, array):
    """Write an array as :func:`.encode_png` encodes it; unlike OpenCV's writer, a full disk raises."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_png(array))


def share_image(root, sample, folder):
    """Let the scene's image appear in another folder too, without a second copy where the file system can."""
    target = root / folder / sample.file_name
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(image_path(root, sample), target)
    except OSError:
        shutil.copyfile(image_path(root, sample), target)


def to_uint8(array):
    """Quantise [0, 1] to eight bits, clipping what lies outside."""
    return np.round(255 * np.clip(array, 0, 1)).astype(np.uint8)


def make_folder(path):
    """Create a folder with its parents, and return it."""
    path = Path(path)
    path.mkdir(parents=True, exist_ok=True)
    return path
