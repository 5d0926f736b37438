"""The fields of COCO's json files: what kind of value each has to hold."""

import math
from collections.abc import Iterable
from pathlib import PurePath
from typing import Any

from mmengine import fileio

from mmdiffperc.files import brief
from mmdiffperc.nearest import what_is_there

FARTHEST = 1e6  # pixels from the corner of an image


def is_count(value: object) -> bool:
    """Return whether a value of a JSON file is a whole number that an id or a size can be."""
    return type(value) is int and 0 <= value < 2**63


def is_id(value: object) -> bool:
    """Return whether a value of a JSON file can be an id in mmdet: a number or a text."""
    return type(value) in (int, float, str)


def is_coordinate(value: object) -> bool:
    """Return whether a value of a JSON file is a number of pixels; NaN and infinity are none."""
    return type(value) in (int, float) and abs(value) <= FARTHEST


def is_box(value: object) -> bool:
    """Return whether a value of a JSON file is a box: four numbers of pixels."""
    return isinstance(value, list) and len(value) == 4 and all(map(is_coordinate, value))


def is_area(value: object) -> bool:
    """Return whether a value of a JSON file is an area in pixels; 0 is one, of a degenerate object."""
    return type(value) in (int, float) and math.isfinite(value) and value >= 0


def is_segmentation(value: object) -> bool:
    """Return whether a value of a JSON file is built like a segmentation: a run-length code, or a list of polygons."""
    return bool(value) and (isinstance(value, dict) or isinstance(value, list) and all(map(_is_list, value)))


def _is_list(value):
    return isinstance(value, list)


# What each field has to be, in words.
MEANINGS = dict(
    id=(is_id, 'a number or a text'),
    image_id=(is_id, 'the id of an image'),
    category_id=(is_id, 'the id of a category'),
    bbox=(is_box, '[x, y, width, height] in pixels'),
    file_name=(lambda value: isinstance(value, str), 'the name of a file'),
    name=(lambda value: isinstance(value, str), 'the name of a class'),
    height=(is_count, 'a whole number of pixels'),
    width=(is_count, 'a whole number of pixels'),
    segmentation=(is_segmentation, 'polygons [[x0, y0, x1, y1, ...], ...] or a run-length code'),
)


def check_exists(file: str, backend_args: dict | None = None):
    """Check that an annotation file exists.

    Args:
        file (str): Its path.
        backend_args (dict, optional): Of the storage, as in the hosts' data sets.

    Raises:
        FileNotFoundError: It does not exist. The message says what is in its folder.
    """
    if not fileio.isfile(file, backend_args):
        folder = str(PurePath(file).parent)
        there = what_is_there(folder, PurePath(file).suffix, backend_args)
        raise FileNotFoundError(f'Annotation file {file} does not exist; check data_root and ann_file. {there}')


def check_entries(file: str, kind: str, entries: Any, fields: Iterable[str]):
    """Check that each entry of a table has the fields that it needs.

    Args:
        file (str): The json, for the message.
        kind (str): 'image', 'annotation' or 'category', for the message.
        entries (list[dict]): The table.
        fields (Iterable[str]): Names of the fields, all of them in ``MEANINGS``.

    Raises:
        ValueError: A field is missing, or holds something else.
    """
    fields = tuple(fields)
    if not isinstance(entries, list):
        raise ValueError(f"{file}: not in COCO's format: expected a list of {kind} entries, got {brief(entries)}")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ValueError(
                f'{file}: {kind} number {number} of the list is {brief(entry)}, expected an object {{...}}'
            )
        for field in fields:
            is_right, expected = MEANINGS[field]
            if not is_right(entry.get(field)):
                name = brief(entry['id']) if 'id' in entry else f'number {number} of the list'
                found = f'the {field} {brief(entry[field])}' if field in entry else f'no {field}'
                raise ValueError(
                    f'{file}: {kind} {name} has {found}, expected {expected}; each needs {", ".join(fields)}'
                )
