"""The images of a folder, and their captions in ``metadata.jsonl``, the format of Hugging Face's ImageFolder."""

import codecs
import json
import logging
from collections.abc import Collection
from pathlib import Path, PurePath

from mmengine.logging import print_log

from mmdiffperc.files import brief, relative_name
from mmdiffperc.nearest import IMAGE_SUFFIXES, what_is_there

METADATA = 'metadata.jsonl'


def list_images(folder: str | Path) -> list[tuple[str, list[str]]]:
    """List the images in the metadata of a folder with their captions, or without metadata all images of the folder.

    Raises:
        FileNotFoundError: The folder does not exist, or contains neither metadata nor images.
        ValueError: The metadata are damaged, see :func:`read_metadata`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f'{folder} is not a folder of images; check its path (data_root and data_prefix). mmdiffperc toy-scenes '
            '--formats dmp writes toy scenes, projects/dmp/tools draws images'
        )
    if (folder / METADATA).is_file():
        return read_metadata(folder / METADATA)
    images = image_files(folder)
    if not images:
        raise FileNotFoundError(
            f'{folder}: neither {METADATA} nor images ({", ".join(IMAGE_SUFFIXES)}); {what_is_there(str(folder))}'
        )
    return [(image.name, []) for image in images]


def image_files(folder: str | Path, suffixes: Collection[str] = IMAGE_SUFFIXES) -> list[Path]:
    """Find the images of a folder with :func:`visible_files`, and log how many files are skipped."""
    images = visible_files(folder, suffixes)
    others = sorted(file.name for file in _visible(folder) if file.suffix.lower() not in suffixes)
    if images and others:
        print_log(
            f'{folder}: {len(others)} files are skipped, such as {brief(others[0])}; the suffixes that are read are '
            f'{", ".join(suffixes)}',
            logger='current',
            level=logging.WARNING,
        )
    return images


def visible_files(folder: str | Path, suffixes: Collection[str]) -> list[Path]:
    """Find the files of a folder that have one of these suffixes, sorted by name. The folder need not exist.

    Hidden files, such as ``._a.png``, which macOS writes beside ``a.png``, and partial files are skipped.
    """
    return sorted(file for file in _visible(folder) if file.suffix.lower() in suffixes)


def _visible(folder):
    return (file for file in Path(folder).glob('*') if not file.name.startswith('.') and file.is_file())


def read_metadata(path: str | Path) -> list[tuple[str, list[str]]]:
    """Read the lines ``{"file_name": "a.png", "text": "a caption"}``; ``text`` may be a list of captions, or missing.

    Returns:
        list[tuple[str, list[str]]]: File name and captions of every image.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: A line has another form; a ``file_name`` leads out of the folder or is repeated; the file is empty.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file; expected a line for each image, with its file_name and text')
    lines = path.read_bytes().removeprefix(codecs.BOM_UTF8).splitlines()  # some editors write a byte order mark
    lines = {number: line for number, line in enumerate(lines, 1) if line.strip()}
    images = {number: _parse_line(line, f'{path}, line {number}') for number, line in lines.items()}
    if not images:
        raise ValueError(f'{path} is empty: expected a line for each image, with its file_name and text')
    _check_unique({number: file_name for number, (file_name, _) in images.items()}, path)
    return list(images.values())


def metadata_line(file_name: str, captions: str | list[str]) -> str:
    """Return a line of the file, including the line break."""
    return json.dumps(dict(file_name=file_name, text=captions), ensure_ascii=False) + '\n'


def _parse_line(line, name):
    try:
        entry = json.loads(line.decode())  # from bytes, json guesses the encoding
        file_name, captions = entry['file_name'], entry.get('text') or []
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise _bad_line(name, line) from error
    captions = [captions] if isinstance(captions, str) else captions
    if not isinstance(captions, list) or not all(isinstance(text, str) for text in (file_name, *captions)):
        raise _bad_line(name, line)
    return relative_name(file_name, name), captions


def _check_unique(file_names, path):
    """Check that every image has a single line, given the names by line number."""
    lines = {}
    for number, file_name in file_names.items():
        if (other := lines.setdefault(PurePath(file_name), number)) != number:
            raise ValueError(
                f'{path}, line {number}: file_name {brief(file_name)} is already in line {other}; give '
                'several captions of an image as a list, {"file_name": "a.png", "text": ["a caption", "another"]}'
            )


def _bad_line(name, line):
    return ValueError(f'{name}: expected {{"file_name": "a.png", "text": "a caption"}}, got {brief(line)}')
