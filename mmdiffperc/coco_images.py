"""The images of a COCO file, compared with what the file says about them."""

import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from mmdiffperc.files import spread
from mmdiffperc.inference.image_headers import (
    ImageHeader,
    image_loader,
    raw_pixels_option,
    read_header,
    registered_name,
    turns_images,
)
from mmdiffperc.nearest import what_is_there

# Of the boxes. Objects that the edge of an image cuts may be annotated beyond it.
SHARE_BEYOND = 0.1
ROUNDING = 1  # pixel


class CocoImage(NamedTuple):
    """An image as a COCO file describes it.

    Args:
        path (str): The file.
        number (int): Its id.
        size (tuple[int, int]): Height and width.
    """

    path: str
    number: int
    size: tuple[int, int]


def check_images(images: Sequence[CocoImage], ann_file: str, folder: str, transforms: Iterable[Any] = ()):
    """Check that images exist and have the sizes that their annotations were made for.

    At most 50 images are looked at, spread over the data set, and only their headers are read. Files that Pillow does
    not know are left to the loader, and so are images in other storages (``s3://...``, or ``backend_args`` of the
    loader), which may be slow.

    Args:
        images (Sequence[CocoImage]): All images of the data set.
        ann_file (str): The COCO file, for the message.
        folder (str): The folder of the images, for the message.
        transforms (Iterable[Any]): The pipeline of the data set. Its loader decides whether the EXIF orientation turns
            an image; without a loader, either size will do.

    A warning says that a loader mirrors images, or turns them without a change of their sizes, unless the sizes of
    other images show that the annotations were made for upright photos.

    Raises:
        FileNotFoundError: An image does not exist. The message says what the folder holds.
        ValueError: The size of an image differs. The message gives both sizes and says what to do.
    """
    loader = image_loader(transforms)
    if getattr(loader, 'backend_args', None):
        return
    local = [image for image in images if '://' not in image.path]
    compared = spread(local)
    for image in compared:
        _check_exists(image, ann_file, folder)
    read = [(image, header) for image in compared if (header := read_header(image.path))]
    wrong = [(image, advice) for image, header in read if (advice := _advice(image, header, loader))]
    if wrong:
        (path, number, (height, width)), advice = wrong[0]
        raise ValueError(
            f'{ann_file}: image {number} has height {height} and width {width}, but {path} {advice}. Sizes '
            f'differ for {len(wrong)} of the {len(compared)} images that were compared'
        )
    if loader is not None:
        _warn_of_turned_images(read, ann_file, loader)


def _check_exists(image, ann_file, folder):
    if not Path(image.path).is_file():
        raise FileNotFoundError(
            f'{image.path}, image {image.number} of {ann_file}, does not exist. '
            f'{what_is_there(folder, Path(image.path).suffix)}'
        )


def _advice(image: CocoImage, header: ImageHeader, loader: Any) -> str | None:
    """Return the size of the file and what to do about it, if the size differs."""
    stored, turned = header.stored, header.turned
    if image.size in header.sizes(loader):
        return None
    loaded = turned if loader is None or turns_images(loader) else stored
    return _describe(image.size, stored, turned, loaded, loader)


def _describe(said, stored, turned, loaded, loader):
    if said == stored:
        return (
            f'is turned to {_text(turned)} by its EXIF orientation. If the annotations were drawn on the stored '
            f'pixels, load the images with {raw_pixels_option(loader)}; if they were drawn on the upright photo, '
            'exchange height and width in the file'
        )
    if said == turned:
        return (
            f'has {_text(stored)}, because {registered_name(type(loader))} with color_type={loader.color_type!r} and '
            f'imdecode_backend={loader.imdecode_backend!r} ignores its EXIF orientation. Leave both out if the '
            'annotations were drawn on the upright photo'
        )
    return (
        f'has {_text(loaded)}. If the images were resized or turned after they were annotated, use the original ones, '
        'or convert all coordinates; if the annotations fit the images, correct height and width in the file'
    )


def _warn_of_turned_images(read, ann_file, loader):
    """Where the loader keeps the size of a turned image, nothing tells which pixels the annotations are for."""
    if any(header.turned != header.stored for _, header in read):  # the sizes of these fit the upright photos
        return
    turned = [(image, header) for image, header in read if header.is_turned_in_place(loader)]
    if turned:
        image, header = turned[0]
        warnings.warn(
            f'{ann_file}: {image.path} has the EXIF orientation {header.orientation} and is turned when it is loaded, '
            f'as are {len(turned)} of the {len(read)} images that were compared. If the annotations were drawn on the '
            f'stored pixels, load the images with {raw_pixels_option(loader)}',
            stacklevel=2,
        )


def _text(size):
    return f'height {size[0]} and width {size[1]}'


def warn_of_boxes_beyond(boxes: Sequence[Sequence[float]], sizes: Sequence[tuple[int, int]], ann_file: str):
    """Warn if more than a tenth of the boxes end outside of their images, as corners taken for sizes do.

    Args:
        boxes (Sequence): ``(N, 4)`` corners ``x1, y1, x2, y2``.
        sizes (Sequence): Height and width of the image of each box.
        ann_file (str): The COCO file, for the message.
    """
    corners, limits = np.array(boxes, float), np.array(sizes)[:, ::-1]  # limits: x before y
    beyond = ((corners[:, :2] < -ROUNDING) | (corners[:, 2:] > limits + ROUNDING)).any(1)
    if beyond.mean() > SHARE_BEYOND:
        warnings.warn(
            f'{ann_file}: {beyond.sum()} of the {len(corners)} boxes end outside of their images. Check that each bbox '
            'is [x, y, width, height], and not two corners [x1, y1, x2, y2]',
            stacklevel=2,
        )
