"""Images of a folder and their captions: ``metadata.jsonl``, as Hugging Face's ImageFolder has it."""

import json
from pathlib import Path

METADATA = 'metadata.jsonl'
IMAGE_SUFFIXES = ('.bmp', '.jpeg', '.jpg', '.png', '.tif', '.tiff', '.webp')


def list_images(folder: str | Path) -> list[tuple[str, list[str]]]:
    """File names and captions of the images in a folder: those of its metadata, or else all, without captions.

    Raises:
        FileNotFoundError: There is no such folder, it has neither.
        ValueError: The metadata are not as described in :func:`read_metadata`.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(
            f'{folder} is no folder of images; check its path (data_root and data_prefix). tools/make_toy_scenes.py '
            '--formats dmp writes toy scenes, projects/dmp/tools draws images'
        )
    if (folder / METADATA).is_file():
        return read_metadata(folder / METADATA)
    images = sorted(file.name for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise FileNotFoundError(f'{folder} holds neither {METADATA} nor images ({", ".join(IMAGE_SUFFIXES)})')
    return [(name, []) for name in images]


def read_metadata(path: str | Path) -> list[tuple[str, list[str]]]:
    """Read the lines ``{"file_name": "a.png", "text": "a caption"}``; ``text`` may be a list of captions, or missing.

    Returns:
        list[tuple[str, list[str]]]: File name and captions of every image.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: A line is not as described, or there is none.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f'{path}: no such file; it has a line for each image, with its file_name and text')
    lines = path.read_bytes().splitlines()
    images = [_parse_line(line, f'{path}, line {number}') for number, line in enumerate(lines, 1) if line.strip()]
    if not images:
        raise ValueError(f'{path} is empty: expected a line for each image, with its file_name and text')
    return images


def metadata_line(file_name: str, captions: str | list[str]) -> str:
    """A line of the file, its end included."""
    return json.dumps(dict(file_name=file_name, text=captions), ensure_ascii=False) + '\n'


def _parse_line(line, name):
    try:
        entry = json.loads(line)
        file_name, captions = entry['file_name'], entry.get('text') or []
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _bad_line(name, line) from error
    captions = [captions] if isinstance(captions, str) else captions
    if not isinstance(captions, list) or not all(isinstance(text, str) for text in (file_name, *captions)):
        raise _bad_line(name, line)
    return file_name, captions


def _bad_line(name, line):
    return ValueError(f'{name}: expected {{"file_name": "a.png", "text": "a caption"}}, got {line!r:.100}')
