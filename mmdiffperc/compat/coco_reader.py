"""Patches mmdet's reader of COCO files: checks fields, fills in what may be missing, keeps the order of the classes.

mmdet numbers the classes in the order of the file's categories, not of ``metainfo['classes']`` (see the comment in
``mmdet/datasets/coco.py:68``). Where the two differ, predictions get the names of other classes. Where two files
differ, a detector trained on one file is evaluated with the classes of the other.

Missing fields end in a ``KeyError`` or ``TypeError`` that names no file: ``image_id`` and ``id`` when pycocotools
builds its index, ``area`` when the data set is built (``coco.py:146``), ``iscrowd`` at the end of the first validation.

mmdet is not imported here, because the core needs no host: its reader is patched when a data set is built.

Delete when mmdet follows the order of the classes, and names what a file lacks.
"""

import json
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import wraps
from typing import Any

from mmengine.dataset import BaseDataset

from mmdiffperc.coco_fields import check_entries, check_exists, is_area
from mmdiffperc.files import brief, quoted

READER = 'mmdet.datasets.api_wrappers.coco_api'
IMAGE = ('id', 'file_name', 'height', 'width')
# Files of captions have no categories, and their annotations no boxes.
ANNOTATION, OF_OBJECT = ('id', 'image_id'), ('category_id', 'bbox')
# What json and pycocotools raise for a file that holds no JSON object.
NO_JSON_OBJECT = (json.JSONDecodeError, UnicodeDecodeError, RecursionError, AssertionError)


def check_tables(content: dict, file: str):
    """Check the tables of a file before pycocotools builds its index of them.

    Args:
        content (dict): The file's content.
        file (str): Its name, for the message.

    Raises:
        ValueError: A field that mmdet reads is missing or holds something else, several images have the same id,
            or no annotation belongs to an image.
    """
    tables = {name: content[name] for name in ('images', 'annotations', 'categories') if name in content}
    needed = ANNOTATION + (OF_OBJECT if 'categories' in tables else ())
    for name, kind, fields in (
        ('images', 'image', IMAGE),
        ('annotations', 'annotation', needed),
        ('categories', 'category', ('id', 'name')),
    ):
        check_entries(file, kind, tables.get(name, []), fields)
    _check_repeated(tables.get('images', []), file)
    _check_crowds(tables.get('annotations', []), file)
    for kind in ('image', 'category'):
        _check_references(tables, kind, file)


def _check_repeated(images, file):
    """Of two images with the same id, pycocotools keeps the last, with the annotations of both."""
    repeated = [number for number, count in Counter(image['id'] for image in images).items() if count > 1]
    if repeated:
        raise ValueError(f'{file}: ids of images are repeated, such as {brief(repeated[0])}')


def _check_crowds(annotations, file):
    """Any text counts as a crowd, which no detector learns."""
    wrong = [one for one in annotations if one.get('iscrowd') not in (None, 0, 1)]
    if wrong:
        raise ValueError(
            f'{file}: annotation {brief(wrong[0]["id"])} has iscrowd={brief(wrong[0]["iscrowd"])}, expected 0 or 1'
        )


def _check_references(tables, kind, file):
    """A number never equals a text: where one file mixes the two, all annotations would be lost."""
    annotations, listed = tables.get('annotations'), tables.get('images' if kind == 'image' else 'categories')
    if annotations and listed and not {one['id'] for one in listed} & {one[f'{kind}_id'] for one in annotations}:
        raise ValueError(
            f'{file}: no annotation belongs to a listed {kind}: annotation {brief(annotations[0]["id"])} has the '
            f'{kind}_id {brief(annotations[0][f"{kind}_id"])}, the first {kind} the id {brief(listed[0]["id"])}'
        )


def complete_annotations(coco: Any, file: str | None):
    """Fill in what annotations may lack or have as null: the area of the box as ``area``, 0 as ``iscrowd``.

    Args:
        coco (COCO): The file as mmdet has read it, changed in place.
        file (str, optional): Its name, for the message.

    Raises:
        ValueError: An area is no number of pixels.
    """
    annotations = [annotation for annotation in coco.anns.values() if 'bbox' in annotation]
    without_area = [annotation for annotation in annotations if annotation.get('area') is None]
    wrong = [one for one in annotations if one.get('area') is not None and not is_area(one['area'])]
    if wrong:
        raise ValueError(
            f'{file}: annotation {brief(wrong[0]["id"])} has the area {brief(wrong[0]["area"])}, expected a number of '
            'pixels, or none'
        )
    for annotation in without_area:
        annotation['area'] = annotation['bbox'][2] * annotation['bbox'][3]
    for annotation in annotations:
        if annotation.get('iscrowd') is None:
            annotation['iscrowd'] = 0
    if without_area:
        warnings.warn(
            f'{file}: {len(without_area)} of the {len(annotations)} annotations have no area, so the area of the box '
            'is taken. It decides what counts as small, medium and large in the evaluation',
            stacklevel=2,
        )


def get_cat_ids(
    coco: Any, cat_names: str | Sequence[str] = (), sup_names: Sequence[str] = (), cat_ids: Sequence[int] = ()
) -> list[int]:
    """Return the ids of categories, in the order of their names; in place of ``COCO.get_cat_ids`` of mmdet.

    Args:
        coco (COCO): The file that was read.
        cat_names (str | Sequence[str]): Names of the categories. By default, all categories count, in the order of the
            file.
        sup_names (Sequence[str]): Names of the categories above them. By default, any.
        cat_ids (Sequence[int]): Choose from these ids. By default, any.

    Raises:
        ValueError: The file has no categories.
    """
    if not coco.cats:
        raise ValueError(
            f"{coco.annotation_file}: not in COCO's format: it lists no categories, which give the classes their names"
        )
    found = coco.getCatIds(cat_names, sup_names, cat_ids)
    names = [cat_names] if isinstance(cat_names, str) else list(cat_names)
    ordered = sorted(found, key=lambda number: names.index(coco.cats[number]['name'])) if names else found
    if ordered != found:
        in_file = quoted(coco.cats[number]['name'] for number in found)
        warnings.warn(
            f'The categories of the COCO file are in the order {in_file}, the classes of the data set in the order '
            f'{quoted(names)}. Labels follow the classes. mmdet alone follows the file: for a model trained in its '
            'order, put the classes in the order of the file',
            stacklevel=2,
        )
    return ordered


def patch_reader():
    """Patch mmdet's reader of COCO files, if mmdet has been imported."""
    reader = getattr(sys.modules.get(READER), 'COCO', None)
    if reader is None or reader.get_cat_ids is get_cat_ids:
        return
    read, index = reader.__init__, reader.createIndex

    @wraps(read)
    def read_and_complete(coco, annotation_file=None):
        coco.annotation_file = annotation_file
        if annotation_file is not None:
            check_exists(annotation_file)
        try:
            read(coco, annotation_file)
        except NO_JSON_OBJECT as error:
            problem = brief(f'{type(error).__name__}: {error}')
            raise ValueError(f'{annotation_file}: damaged, or no JSON object {{...}} ({problem})') from error
        if type(coco) is reader:  # panoptic files have another structure
            complete_annotations(coco, annotation_file)

    @wraps(index)
    def check_and_index(coco):
        if coco.annotation_file is not None:  # and not results that pycocotools has put together
            check_tables(coco.dataset, coco.annotation_file)
        index(coco)

    reader.__init__, reader.createIndex = read_and_complete, check_and_index  # panoptic files have their own index
    reader.get_cat_ids = get_cat_ids


def install() -> None:
    """Patch mmdet's reader of COCO files before a data set reads one."""
    initialise = BaseDataset.__init__

    @wraps(initialise)
    def initialise_patched(dataset, *args, **kwargs):
        patch_reader()
        initialise(dataset, *args, **kwargs)

    BaseDataset.__init__ = initialise_patched
