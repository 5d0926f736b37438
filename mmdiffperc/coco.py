"""COCO files: the values that their fields must have, and the images that they describe."""

import math
import warnings
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np
from mmengine import fileio

from mmdiffperc.files import brief, spread
from mmdiffperc.inference.image_headers import (
    ImageHeader,
    image_loader,
    raw_pixels_option,
    read_header,
    registered_name,
    turns_images,
)
from mmdiffperc.nearest import what_is_there

FARTHEST = 1e6  # pixels from the corner of an image
# Share of the boxes. Objects at the edge of an image are sometimes annotated beyond it.
SHARE_BEYOND = 0.1
ROUNDING = 1  # pixel


def is_count(value: object) -> bool:
    """Return whether a JSON value is a whole number that an id or a size can have."""
    return type(value) is int and 0 <= value < 2**63


def is_id(value: object) -> bool:
    """Return whether a JSON value can be an id in mmdet: a number or a string."""
    return type(value) in (int, float, str)


def is_coordinate(value: object) -> bool:
    """Return whether a JSON value is a finite number of pixels."""
    return type(value) in (int, float) and abs(value) <= FARTHEST


def is_box(value: object) -> bool:
    """Return whether a JSON value is a box of four numbers of pixels."""
    return isinstance(value, list) and len(value) == 4 and all(map(is_coordinate, value))


def is_area(value: object) -> bool:
    """Return whether a JSON value is an area in pixels; a degenerate object has area 0."""
    return type(value) in (int, float) and math.isfinite(value) and value >= 0


def is_segmentation(value: object) -> bool:
    """Return whether a JSON value has the structure of a segmentation: a run-length code, or a list of polygons."""
    is_polygons = isinstance(value, list) and all(isinstance(polygon, list) for polygon in value)
    return bool(value) and (isinstance(value, dict) or is_polygons)


def _is_text(value):
    return isinstance(value, str)


# The test of each field, and what it expects in words.
MEANINGS = dict(
    id=(is_id, 'a number or a string'),
    image_id=(is_id, 'the id of an image'),
    category_id=(is_id, 'the id of a category'),
    bbox=(is_box, '[x, y, width, height] in pixels'),
    file_name=(_is_text, 'the name of a file'),
    name=(_is_text, 'the name of a class'),
    height=(is_count, 'a whole number of pixels'),
    width=(is_count, 'a whole number of pixels'),
    segmentation=(is_segmentation, 'polygons [[x0, y0, x1, y1, ...], ...] or a run-length code'),
)
WHOLE_IDS = dict.fromkeys(('id', 'image_id', 'category_id'), (is_count, 'a whole number'))


def check_exists(file: str, backend_args: dict | None = None):
    """Check that an annotation file exists.

    Args:
        file (str): Its path.
        backend_args (dict, optional): Arguments of the storage backend, as in the hosts' data sets.

    Raises:
        FileNotFoundError: The file does not exist. The message says what its folder contains.
    """
    if not fileio.isfile(file, backend_args):
        folder = str(PurePath(file).parent)
        there = what_is_there(folder, PurePath(file).suffix, backend_args)
        raise FileNotFoundError(f'Annotation file {file} does not exist; check data_root and ann_file. {there}')


def check_entries(file: str, kind: str, entries: Any, fields: Collection[str], whole_ids: bool = False):
    """Check that each entry of a table has the required fields.

    Args:
        file (str): The JSON file, for the message.
        kind (str): 'image', 'annotation' or 'category', for the message.
        entries (list[dict]): The table.
        fields (Collection[str]): Names of the fields, all of them keys of ``MEANINGS``.
        whole_ids (bool): Accept only whole numbers as ids, and no strings. Defaults to False.

    Raises:
        ValueError: A field is missing or has a wrong value.
    """
    meanings = MEANINGS | WHOLE_IDS if whole_ids else MEANINGS
    if not isinstance(entries, list):
        raise ValueError(f"{file}: not in COCO's format: expected a list of {kind} entries, got {brief(entries)}")
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict):
            raise ValueError(
                f'{file}: {kind} number {number} of the list is {brief(entry)}, expected an object {{...}}'
            )
        for field in fields:
            is_right, expected = meanings[field]
            if not is_right(entry.get(field)):
                name = brief(entry['id']) if 'id' in entry else f'number {number} of the list'
                found = f'the {field} {brief(entry[field])}' if field in entry else f'no {field}'
                raise ValueError(
                    f'{file}: {kind} {name} has {found}, expected {expected}; each needs {", ".join(fields)}'
                )


class CocoImage(NamedTuple):
    """An image as a COCO file describes it.

    Args:
        path (str): The image file.
        number (int): Its id.
        size (tuple[int, int]): Height and width.
    """

    path: str
    number: int
    size: tuple[int, int]


def check_images(images: Sequence[CocoImage], ann_file: str, folder: str, transforms: Iterable[Any] = ()):
    """Check that images exist and have the sizes for which they were annotated.

    Only the headers of at most 50 images, spread over the data set, are read. Files that Pillow cannot read are left to
    the loader, and so are images in other storages (``s3://...``, or a loader with ``backend_args``), which may be
    slow.

    The check warns if the loader mirrors images or turns them without changing their size, unless the sizes of other
    images show that upright photos were annotated.

    Args:
        images (Sequence[CocoImage]): All images of the data set.
        ann_file (str): The COCO file, for the message.
        folder (str): The folder of the images, for the message.
        transforms (Iterable[Any]): The pipeline of the data set. Its loader decides whether the EXIF orientation turns
            an image; without a loader, either size is accepted.

    Raises:
        FileNotFoundError: An image does not exist. The message says what the folder contains.
        ValueError: The size of an image differs. The message gives both sizes and says what to do.
    """
    loader = image_loader(transforms)
    if getattr(loader, 'backend_args', None):
        return
    compared = spread([image for image in images if '://' not in image.path])
    for image in compared:
        if not Path(image.path).is_file():
            there = what_is_there(folder, Path(image.path).suffix)
            raise FileNotFoundError(
                f'{image.path}, image {image.number} of {ann_file}, does not exist; check data_root and data_prefix. '
                f'{there}'
            )
    read = [(image, header) for image in compared if (header := read_header(image.path))]
    wrong = [(image, header) for image, header in read if image.size not in header.sizes(loader)]
    if wrong:
        image, header = wrong[0]
        height, width = image.size
        raise ValueError(
            f'{ann_file}: image {image.number} has height {height} and width {width}, but {image.path} '
            f'{_describe(image.size, header, loader)}. Sizes differ for {len(wrong)} of the {len(compared)} images '
            'compared'
        )
    if loader is not None:
        _warn_of_turned_images(read, ann_file, loader)


def _describe(annotated: tuple[int, int], header: ImageHeader, loader: Any) -> str:
    """Describe the size of an image file, and what to do because another one is annotated."""
    stored, turned = header.stored, header.turned
    if annotated == stored:
        return (
            f'is turned to {_text(turned)} by its EXIF orientation. If the stored pixels were annotated, load '
            f'the images with {raw_pixels_option(loader)}; if the upright photo was annotated, exchange height and '
            'width in the file'
        )
    if annotated == turned:
        return (
            f'has {_text(stored)}, because {registered_name(type(loader))} with color_type={loader.color_type!r} and '
            f'imdecode_backend={loader.imdecode_backend!r} ignores its EXIF orientation. Remove both options if the '
            'upright photo was annotated'
        )
    loaded = turned if loader is None or turns_images(loader) else stored
    return (
        f'has {_text(loaded)}. If the images were resized or turned after they were annotated, use the original images '
        'or convert all coordinates; if the annotations fit the images, correct height and width in the file'
    )


def _warn_of_turned_images(read, ann_file, loader):
    """Warn of turned images that keep their size, because their sizes do not tell which pixels were annotated."""
    if any(header.turned != header.stored for _, header in read):  # their sizes match, so upright photos were annotated
        return
    turned = [(image, header) for image, header in read if header.is_turned_in_place(loader)]
    if turned:
        image, header = turned[0]
        warnings.warn(
            f'{ann_file}: {image.path} has EXIF orientation {header.orientation} and is turned when it is loaded, as '
            f'are {len(turned)} of the {len(read)} images compared. If the stored pixels were annotated, load the '
            f'images with {raw_pixels_option(loader)}',
            stacklevel=2,
        )


def _text(size):
    return f'height {size[0]} and width {size[1]}'


def warn_of_boxes_beyond(boxes: Sequence[Sequence[float]], sizes: Sequence[tuple[int, int]], ann_file: str):
    """Warn if more than a tenth of the boxes end outside their images, as corners in place of sizes do.

    Args:
        boxes (Sequence): Corners ``x1, y1, x2, y2``, ``(N, 4)``.
        sizes (Sequence): Height and width of the image of each box.
        ann_file (str): The COCO file, for the message.
    """
    corners, limits = np.array(boxes, float), np.array(sizes)[:, ::-1]  # limits: x before y
    beyond = ((corners[:, :2] < -ROUNDING) | (corners[:, 2:] > limits + ROUNDING)).any(1)
    if beyond.mean() > SHARE_BEYOND:
        warnings.warn(
            f'{ann_file}: {beyond.sum()} of the {len(corners)} boxes end outside their images. Check that each bbox is '
            '[x, y, width, height], and not two corners [x1, y1, x2, y2]',
            stacklevel=2,
        )
