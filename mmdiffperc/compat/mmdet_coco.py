"""Make mmdet's COCO data sets follow the order of the classes, and check their file, classes, boxes and images.

mmdet 3.3 numbers the classes in the order of the file's categories, not of ``metainfo['classes']`` (see the comment in
``mmdet/datasets/coco.py:68``). If the two differ, predictions get the names of other classes. If two files differ, a
detector trained on one file is evaluated with the classes of the other.

Missing fields end in a ``KeyError`` or ``TypeError`` that names no file: ``image_id`` and ``id`` when pycocotools
builds its index, ``area`` when the data set is built (``coco.py:146``), ``iscrowd`` at the end of the first validation,
``segmentation`` when a mask is loaded. mmdet silently leaves out classes that the file lacks (``coco.py:70``), and
boxes that lie outside their image or are narrower than a pixel (``coco.py:144``). It does not compare the sizes in the
file with the images.

The core must not import mmdet, so its reader is patched when a data set is built.

Delete when mmdet follows the order of the classes, says what a file lacks and what it leaves out, and checks the sizes
of images.
"""

import json
import sys
import warnings
from collections import Counter
from collections.abc import Sequence
from functools import wraps
from typing import Any

from mmengine import fileio
from mmengine.dataset import BaseDataset

from mmdiffperc.coco import (
    CocoImage,
    check_entries,
    check_exists,
    check_images,
    is_area,
    is_segmentation,
    warn_of_boxes_beyond,
)
from mmdiffperc.files import brief, quoted, read_json
from mmdiffperc.nearest import nearest_names

READER = 'mmdet.datasets.api_wrappers.coco_api'
IMAGE = ('id', 'file_name', 'height', 'width')
# Caption files have no categories, and their annotations no boxes.
ANNOTATION, OF_OBJECT = ('id', 'image_id'), ('category_id', 'bbox')
# What json and pycocotools raise for a file without a JSON object.
NO_JSON_OBJECT = (json.JSONDecodeError, UnicodeDecodeError, RecursionError, AssertionError)


def check_tables(content: dict, file: str):
    """Check the tables of a file before pycocotools builds its index of them.

    Args:
        content (dict): The file's content.
        file (str): Its name, for the message.

    Raises:
        ValueError: A field that mmdet reads is missing or has a wrong value, several images have the same id, or no
            annotation belongs to an image.
    """
    images, annotations, categories = (content.get(name, []) for name in ('images', 'annotations', 'categories'))
    check_entries(file, 'image', images, IMAGE)
    check_entries(file, 'annotation', annotations, ANNOTATION + (OF_OBJECT if 'categories' in content else ()))
    check_entries(file, 'category', categories, ('id', 'name'))
    _check_repeated(images, file)
    _check_crowds(annotations, file)
    _check_references(annotations, images, 'image', file)
    _check_references(annotations, categories, 'category', file)


def _check_repeated(images, file):
    """Refuse two images with the same id: pycocotools keeps the last one, with the annotations of both."""
    if repeated := [number for number, count in Counter(image['id'] for image in images).items() if count > 1]:
        raise ValueError(f'{file}: several images have the same id, such as {brief(repeated[0])}')


def _check_crowds(annotations, file):
    """Refuse other marks of crowds: mmdet takes any string for a crowd, which no detector learns."""
    if wrong := [one for one in annotations if one.get('iscrowd') not in (None, 0, 1)]:
        raise ValueError(
            f'{file}: annotation {brief(wrong[0]["id"])} has iscrowd={brief(wrong[0]["iscrowd"])}, expected 0 or 1'
        )


def _check_references(annotations, listed, kind, file):
    """Refuse ids that are numbers in one table and strings in the other, which would lose all annotations."""
    if annotations and listed and not {one['id'] for one in listed} & {one[f'{kind}_id'] for one in annotations}:
        raise ValueError(
            f'{file}: no annotation belongs to a listed {kind}: annotation {brief(annotations[0]["id"])} has the '
            f'{kind}_id {brief(annotations[0][f"{kind}_id"])}, the first {kind} the id {brief(listed[0]["id"])}'
        )


def complete_annotations(coco: Any, file: str | None):
    """Set a missing or null ``area`` to the area of the box, and a missing or null ``iscrowd`` to 0.

    Args:
        coco (COCO): The file as mmdet has read it, changed in place.
        file (str, optional): Its name, for the message.

    Raises:
        ValueError: An area is not a number of pixels.
    """
    annotations = [annotation for annotation in coco.anns.values() if 'bbox' in annotation]
    without_area = [one for one in annotations if one.get('area') is None]
    if wrong := [one for one in annotations if one.get('area') is not None and not is_area(one['area'])]:
        raise ValueError(
            f'{file}: annotation {brief(wrong[0]["id"])} has the area {brief(wrong[0]["area"])}, expected a number of '
            'pixels, or null'
        )
    for annotation in without_area:
        annotation['area'] = annotation['bbox'][2] * annotation['bbox'][3]
    for annotation in annotations:
        if annotation.get('iscrowd') is None:
            annotation['iscrowd'] = 0
    if without_area:
        warnings.warn(
            f'{file}: {len(without_area)} of the {len(annotations)} annotations have no area, so the area of the box '
            'is used. It decides which objects count as small, medium and large in the evaluation',
            stacklevel=2,
        )


def get_cat_ids(
    coco: Any, cat_names: str | Sequence[str] = (), sup_names: Sequence[str] = (), cat_ids: Sequence[int] = ()
) -> list[int]:
    """Return the ids of categories in the order of ``cat_names``; replaces ``COCO.get_cat_ids`` of mmdet.

    Args:
        coco (COCO): The file that was read.
        cat_names (str | Sequence[str]): Names of the categories. Default: all categories, in the order of the file.
        sup_names (Sequence[str]): Names of their supercategories. Default: any.
        cat_ids (Sequence[int]): Ids to choose from. Default: any.

    Raises:
        ValueError: The file has no categories.
    """
    if not coco.cats:
        raise ValueError(
            f"{coco.annotation_file}: not in COCO's format: it lists no categories, which name the classes"
        )
    found = coco.getCatIds(cat_names, sup_names, cat_ids)
    names = [cat_names] if isinstance(cat_names, str) else list(cat_names)
    ordered = sorted(found, key=lambda number: names.index(coco.cats[number]['name'])) if names else found
    if ordered != found:
        in_file = quoted(coco.cats[number]['name'] for number in found)
        warnings.warn(
            f'The categories of the COCO file are in the order {in_file}, the classes of the data set in the order '
            f'{quoted(names)}. Labels follow the classes here, and the file in mmdet without this package: for a model '
            'that was trained there, put the classes in the order of the file',
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


def is_coco(dataset: BaseDataset) -> bool:
    """Return whether a data set has read the categories of a COCO file, as mmdet's data sets do."""
    return isinstance(getattr(dataset, 'cat_ids', None), list)


def check_categories(dataset: BaseDataset):
    """Check that each class of a data set is one category of its file.

    Raises:
        ValueError: A class is missing or listed twice, or two categories have its name.
    """
    classes = dataset.metainfo.get('classes') or ()
    if repeated := [name for name, count in Counter(classes).items() if count > 1]:
        raise ValueError(f'{dataset.ann_file}: metainfo lists the classes {quoted(repeated)} more than once')
    if len(dataset.cat_ids) < len(classes):
        raise ValueError(f'{dataset.ann_file}: {_missing_classes(dataset, classes)}')
    if classes and len(dataset.cat_ids) > len(classes):
        raise ValueError(
            f'{dataset.ann_file}: the ids {quoted(dataset.cat_ids)} stand for the {len(classes)} classes '
            f'{quoted(classes)}. Expected one category for each name; merge categories of equal names'
        )


def _missing_classes(dataset, classes):
    with fileio.get_local_path(dataset.ann_file, backend_args=dataset.backend_args) as path:
        names = [category['name'] for category in read_json(path)['categories']]
    missing = [name for name in classes if name not in names]
    nearest = [brief(near) for name in missing[:3] for near in nearest_names(name, names)]
    guess = f'. Did you mean {" or ".join(nearest)}?' if nearest else '.'
    return (
        f'no category is called {quoted(missing)}; there are {quoted(names)}{guess} Set the classes in metainfo of the '
        'data set'
    )


def check_coco(dataset: BaseDataset):
    """Check the boxes and the images of a data set.

    Args:
        dataset (BaseDataset): A data set that has listed its samples.

    Raises:
        FileNotFoundError: An image does not exist.
        ValueError: No box can be used, an image differs in size from its entry in the file, or the pipeline loads masks
            and an object has none.
    """
    samples = dataset.data_list
    if 'img_path' not in samples[0]:  # videos
        return
    if not dataset.backend_args:  # other storages may be slow, or unable to tell
        images = [CocoImage(one['img_path'], one['img_id'], (one['height'], one['width'])) for one in samples]
        check_images(images, dataset.ann_file, dataset.data_prefix.get('img', ''), dataset.pipeline.transforms)
    if 'segments_info' not in samples[0]:  # only some panoptic segments become boxes
        _check_boxes(dataset)
        if any(getattr(transform, 'with_mask', False) for transform in dataset.pipeline.transforms):
            _check_masks(dataset)


def _check_boxes(dataset):
    per_image = Counter(image for category in dataset.cat_ids for image in dataset.cat_img_map.get(category, ()))
    annotated = sum(per_image[sample['img_id']] for sample in dataset.data_list)
    used = sum(len(sample['instances']) for sample in dataset.data_list)
    if annotated and not used:
        raise ValueError(
            f'{dataset.ann_file}: none of the {annotated} boxes can be used. Expected bbox=[x, y, width, height] in '
            'pixels, at least one pixel wide and high, inside the image and with an area above 0'
        )
    if used < annotated:
        warnings.warn(
            f'{dataset.ann_file}: {annotated - used} of the {annotated} boxes are left out. They lie outside their '
            'image, are narrower than a pixel, have no area, or are marked with ignore',
            stacklevel=2,
        )
    if used:
        boxes = [(one['bbox'], sample) for sample in dataset.data_list for one in sample['instances']]
        sizes = [(sample['height'], sample['width']) for _, sample in boxes]
        warn_of_boxes_beyond([box for box, _ in boxes], sizes, dataset.ann_file)


def _check_masks(dataset):
    masks = (one.get('mask') for sample in dataset.data_list for one in sample['instances'])
    if all(map(is_segmentation, masks)):
        return
    with fileio.get_local_path(dataset.ann_file, backend_args=dataset.backend_args) as path:  # for the id
        annotations = read_json(path)['annotations']
    objects = [one for one in annotations if one['category_id'] in dataset.cat_ids and not one.get('ignore')]
    check_entries(dataset.ann_file, 'annotation', objects, ['segmentation'])
