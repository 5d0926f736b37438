"""Files with a caption for each image."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePath, PurePosixPath

from mmdiffperc.files import brief, quoted, read_json
from mmdiffperc.inference.metadata import metadata_line, read_metadata
from mmdiffperc.nearest import nearest_names

LINES = '.jsonl'


class CaptionFile:
    """The captions of a data set, in a file of one of two formats.

    - JSON, the format of `TADP <https://arxiv.org/abs/2310.00031>`_: ``{"ADE_val_1": {"captions": ["a room"]}}``. The
      value may also be a caption, or a list of captions.
    - ``.jsonl``, a line ``{"file_name": "ADE_val_1.jpg", "text": "a room"}`` for each image, see
      :func:`.read_metadata`.

    The name of an image in the file is the end of its path, with or without its suffix: ``ADE_val_1``,
    ``validation/ADE_val_1.jpg``, or, as in the lists of NYU depth v2, ``/kitchen/rgb_1.jpg``. If several names fit, the
    longest counts. Of several captions, the first counts.

    Args:
        path (str | Path): The file.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is empty or damaged, or an entry has no caption.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path).expanduser()
        if not self.path.is_file():
            raise FileNotFoundError(
                f'{path}: no such file of captions; expected JSON {{"image": {{"captions": ["..."]}}}}, or a .jsonl '
                'with file_name and text in each line'
            )
        entries = read_metadata(self.path) if self.path.suffix == LINES else read_json(self.path).items()
        self.captions = {_normal(name): self._first(name, captions) for name, captions in entries}
        if not self.captions:
            raise ValueError(f'{path} is empty: expected a caption for each image')

    def _first(self, name: str, captions) -> str:
        captions = captions.get('captions') if isinstance(captions, Mapping) else captions
        captions = [captions] if isinstance(captions, str) else captions
        if not isinstance(captions, Sequence) or not captions or not isinstance(captions[0], str):
            raise ValueError(
                f'{self.path}: expected {{"captions": ["..."]}} for the image {brief(name)}, got {brief(captions)}'
            )
        return captions[0]

    def __getitem__(self, image: str | Path) -> str:
        """Return the caption of an image.

        Raises:
            ValueError: The file has none; the message names the image and the nearest names in the file.
        """
        parts = PurePath(image).as_posix().strip('/').split('/')
        for start in range(len(parts)):
            name = '/'.join(parts[start:])
            for candidate in (name, name.removesuffix(PurePosixPath(name).suffix)):
                if candidate in self.captions:
                    return self.captions[candidate]
        stem = PurePosixPath(parts[-1]).stem
        stems = {PurePosixPath(name).stem: name for name in self.captions}
        near = [stems[one] for one in nearest_names(stem, stems)] or list(self.captions)
        raise ValueError(
            f'{self.path}: no caption for the image {image}. Expected an entry {stem!r} or the end of its path; the '
            f'nearest of {len(self.captions)} entries: {quoted(near, 2)}. Check that the file belongs to this data set'
        )


def encode_captions(captions: Mapping[str, str]) -> str:
    """Return the content of a JSON file with a caption for each image, in the format of TADP."""
    return json.dumps({name: dict(captions=[caption]) for name, caption in captions.items()}, indent=0) + '\n'


def encode_lines(captions: Mapping[str, str]) -> str:
    """Return the content of a ``.jsonl`` file with a caption for each image."""
    return ''.join(metadata_line(name, caption) for name, caption in captions.items())


def _normal(name: str) -> str:
    return name.replace('\\', '/').strip('/')
