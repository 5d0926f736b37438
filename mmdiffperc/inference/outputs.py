"""The files of predictions."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmdiffperc.files import write_whole

from .inputs import ImageSource
from .videos import frames_per_second, video_writer
from .writers import encode_png


@dataclass(frozen=True)
class OutputFolder:
    """The folder in which the predictions for images and videos are written; it need not exist.

    The files of an image are named after it, such as ``NAME_depth.npz`` and ``NAME_colour.png``. A video gives a video
    of its pictures, ``NAME_colour.mp4``, and a folder ``NAME`` with the other files of each frame.

    Args:
        folder (Path): The folder.
        endings (tuple[str, ...]): What follows the name of an image in the names of its files, such as
            ``'_depth.npz'``.
        picture_ending (str): The same for the picture, without suffix.
    """

    folder: Path
    endings: tuple[str, ...]
    picture_ending: str

    def check(self, sources: Sequence[ImageSource]):
        """Check that no two inputs have the same files, and that no input is overwritten.

        Raises:
            ValueError: Two inputs have the same files, or an input would be overwritten.
        """
        owners = {}
        for source in sources:
            for file in self.files_of(source):
                if (other := owners.setdefault(file.resolve(), source)) is not source:
                    raise ValueError(f'{other.name} and {source.name} would be written to the same files; rename one')
        for source in sources:
            if source.is_file and Path(source.image).resolve() in owners:
                raise ValueError(f'{source.name} would be overwritten: choose another output folder')

    def is_done(self, source: ImageSource) -> bool:
        """Return whether all files of an image exist, or the video of a video, which is written last."""
        return all(file.is_file() for file in self.files_of(source))

    def files_of(self, source: ImageSource) -> list[Path]:
        """Return the files of an image, or the video of a video."""
        stem = self.folder / source.stem
        endings = [f'{self.picture_ending}.mp4'] if source.is_video else [*self.endings, f'{self.picture_ending}.png']
        return [Path(f'{stem}{ending}') for ending in endings]

    @contextmanager
    def open(self, source: ImageSource) -> Iterator[Callable[[int, dict[str, bytes], np.ndarray], None]]:
        """Write the files of an image or a video.

        Yields:
            Callable: Writes a prediction. Its arguments are the index of the frame, the content of the files by their
            endings, and the picture.
        """
        stem = self.folder / source.stem
        if not source.is_video:
            picture_ending = f'{self.picture_ending}.png'
            # A task may encode the picture itself, for instance in 16 bits.
            yield lambda _, contents, picture: write_files(stem, {picture_ending: encode_png(picture)} | contents)
            return
        with video_writer(f'{stem}{self.picture_ending}.mp4', frames_per_second(source.image)) as append:

            def write(index: int, contents: dict[str, bytes], picture: np.ndarray):
                write_files(stem / f'{index:06}', contents)
                append(picture)

            yield write


def write_files(stem: Path, contents: dict[str, bytes]):
    """Write files of one name with different endings."""
    for ending, content in contents.items():
        write_whole(f'{stem}{ending}', content)
