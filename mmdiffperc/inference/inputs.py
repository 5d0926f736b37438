"""The inputs of an inferencer, read one frame at a time: images, videos, folders, patterns, and lists of these."""

import glob
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath

import numpy as np
from PIL import Image

from mmdiffperc.nearest import IMAGE_SUFFIXES, what_is_there

from .image_files import read_image
from .metadata import METADATA, image_files, list_images
from .videos import VIDEO_SUFFIXES, count_frames, read_video

ImageInput = str | Path | np.ndarray | Image.Image


@dataclass(frozen=True, eq=False)
class ImageSource:
    """An image or a video.

    Args:
        image (str | Path | np.ndarray | Image): A file, an array ``(H, W, 3)`` in BGR, uint8, or a PIL image.
        stem (PurePath): The name of its files without their endings, relative to the output folder.
        caption (str, optional): Its caption in the ``metadata.jsonl`` of its folder.
    """

    image: ImageInput
    stem: PurePath
    caption: str | None = None

    @property
    def is_file(self) -> bool:
        """Whether it is a file."""
        return isinstance(self.image, (str, Path))

    @property
    def is_video(self) -> bool:
        """Whether it is a video."""
        return self.is_file and Path(self.image).suffix.lower() in VIDEO_SUFFIXES

    @property
    def name(self) -> str:
        """Its name in messages."""
        return str(self.image if self.is_file else self.stem)

    @property
    def num_frames(self) -> int:
        """Number of frames; 1 for an image."""
        return count_frames(self.image) if self.is_video else 1


@dataclass(frozen=True, eq=False)
class Frame:
    """An image, or a frame of a video, that has been read.

    Args:
        pixels (np.ndarray): ``(H, W, 3)`` in BGR, uint8.
        source (ImageSource): Where it comes from.
        index (int): Its index in a video. Defaults to 0.
    """

    pixels: np.ndarray
    source: ImageSource
    index: int = 0


def find_sources(inputs: ImageInput | Sequence[ImageInput]) -> list[ImageSource]:
    """List the images and videos among inputs.

    Args:
        inputs: An image or video file, a folder, a pattern such as ``'photos/*.jpg'``, an array ``(H, W, 3)`` in BGR,
            uint8, a PIL image, a source, or a list of them. The images of a folder are those of its
            ``metadata.jsonl``, if there is one.

    Raises:
        FileNotFoundError: A folder contains no images, or no file matches a pattern.
        TypeError: An input has another type.
        ValueError: The metadata are damaged.
    """
    entries = inputs if isinstance(inputs, (list, tuple)) else [inputs]
    return [source for index, entry in enumerate(entries) for source in _sources_of(entry, index)]


def read_frames(source: ImageSource, read: Callable[[ImageInput], np.ndarray] = read_image) -> Iterator[Frame]:
    """Read an image, or the frames of a video one by one.

    Args:
        source (ImageSource): The image or the video.
        read (Callable): Reads an image. Default: :func:`.read_image`.

    Raises:
        OSError: The file does not exist.
        ValueError: The file is not an image or a video.
    """
    if not source.is_video:
        yield Frame(read(source.image), source)
        return
    for index, pixels in enumerate(read_video(source.image)):
        yield Frame(read(pixels), source, index)


def _sources_of(entry, index):
    if isinstance(entry, ImageSource):
        return [entry]
    if isinstance(entry, (np.ndarray, Image.Image)):
        return [ImageSource(entry, PurePath(f'{index:06}'))]
    if not isinstance(entry, (str, Path)):
        raise TypeError(
            'Expected an image or video file, a folder, a pattern, an array (H, W, 3) or a PIL image, got '
            f'{type(entry).__name__}'
        )
    path = Path(entry)
    if path.is_dir():
        return _sources_in(path)
    if glob.has_magic(str(entry)) and not path.exists():
        return _sources_matching(str(entry))
    return [ImageSource(path, PurePath(path.stem))]


def _sources_in(folder):
    if (folder / METADATA).is_file():
        images = [(folder / name, captions[0] if captions else None) for name, captions in sorted(list_images(folder))]
    else:
        images = [(file, None) for file in image_files(folder, IMAGE_SUFFIXES + VIDEO_SUFFIXES)]
    if not images:
        raise FileNotFoundError(
            f'{folder}: expected images ({", ".join(IMAGE_SUFFIXES)}) or videos ({", ".join(VIDEO_SUFFIXES)}); '
            f'{what_is_there(str(folder))}'
        )
    return [ImageSource(image, image.relative_to(folder).with_suffix(''), caption) for image, caption in images]


def _sources_matching(pattern):
    files = sorted(file for file in map(Path, glob.glob(pattern, recursive=True)) if file.is_file())
    if not files:
        raise FileNotFoundError(f'{pattern}: no file matches this pattern')
    fixed = list(Path(pattern).parts[:-1])
    while any(map(glob.has_magic, fixed)):
        fixed.pop()
    root = Path(*fixed)
    return [ImageSource(file, file.relative_to(root).with_suffix('')) for file in files]
