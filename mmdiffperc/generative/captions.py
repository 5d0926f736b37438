"""Captions of images."""

import json
from collections.abc import Sequence
from pathlib import Path

from mmengine.structures import BaseDataElement

from mmdiffperc.files import brief, read_lines
from mmdiffperc.models.prompts.sentences import check_sentence, clean

MISSING = (
    'use_prompts=True needs a caption for each image: {}. Add captions, or set use_prompts=False (and guidance_scale=1)'
)


def read_captions(path: str | Path) -> list[str]:
    """Read captions: the lines of a text file, or ``text`` in each line of a ``.jsonl`` file.

    Raises:
        OSError: The file does not exist.
        ValueError: The file is empty or damaged, or a line has no caption.
    """
    captions = read_lines(path)
    if Path(path).suffix != '.jsonl':
        _check_blank_lines(Path(path))
        return captions
    try:
        captions = [json.loads(line)['text'] for line in captions]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f'{path}: expected lines {{"text": "a caption"}} ({brief(str(error))})') from error
    if not all(isinstance(caption, str) for caption in captions):
        raise ValueError(f'{path}: expected a caption as text in each line, got {brief(captions)}')
    return captions


def _check_blank_lines(path):
    """Check that no line is missing: each line belongs to an image."""
    lines = path.read_text(encoding='utf-8-sig').rstrip().splitlines()
    if blank := [number for number, line in enumerate(lines, 1) if not line.strip()]:
        raise ValueError(f'{path}: expected a caption in each line, but line {blank[0]} is blank; fill or remove it')


def captions_of(data_samples: Sequence[BaseDataElement] | None) -> list[str]:
    """Return the captions that data samples hold as ``text``.

    Raises:
        ValueError: A data sample has no caption.
    """
    captions = []
    for sample in data_samples or ():
        if 'text' not in sample:
            raise ValueError(MISSING.format(f'the data sample of {sample.get("img_path")} has no `text`'))
        captions.append(sample.text)
    return captions


def clean_captions(captions: Sequence[str] | None, batch_size: int) -> list[str]:
    """Return the captions in the form that the text encoder expects, one for each image.

    Raises:
        TypeError: A caption is not a string.
        ValueError: The numbers of captions and images differ, or a caption is empty or not in Latin script.
    """
    found = 'one string' if isinstance(captions, str) else len(captions or ())
    if found != batch_size:
        raise ValueError(MISSING.format(f'expected {batch_size}, got {found}'))
    for caption in captions:
        check_sentence(caption)
    return [clean(caption) for caption in captions]
