"""Check the files of mmpose's COCO data sets before mmpose reads them."""

import logging
import math
import warnings
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
from mmengine import fileio
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log
from mmpose.datasets.datasets import CocoDataset, CocoWholeBodyDataset

from mmdiffperc.coco import (
    CocoImage,
    check_entries,
    check_exists,
    check_images,
    is_box,
    is_coordinate,
    is_count,
    warn_of_boxes_beyond,
)
from mmdiffperc.compat.dataset_content import check_every_source
from mmdiffperc.files import brief, read_json, relative_name

# What mmpose reads of each entry; it leaves out objects without a box or keypoints.
ENTRIES = dict(
    images=('image', ('id', 'file_name', 'height', 'width')),
    annotations=('annotation', ('id', 'image_id', 'category_id')),
    categories=('category', ('id', 'name')),
)
# Share of the labelled keypoints. People at the edge of an image are sometimes labelled beyond it.
SHARE_OUTSIDE = 0.1
DETECTIONS = 'expected a list of objects with image_id, category_id, bbox [x, y, width, height] in pixels, and score'
# Keypoints of the whole body by their entry in an annotation.
WHOLE_BODY = dict(keypoints=17, foot_kpts=6, face_kpts=68, lefthand_kpts=21, righthand_kpts=21)
PERSON = 1  # the only category of which mmpose reads detections


@check_every_source
def check_pose_files(dataset: BaseDataset):
    """Check the annotation file, the detections and the images of a COCO keypoint data set.

    Data sets of other classes than mmpose's ``CocoDataset``, and subclasses that parse annotations differently, are
    left alone, except that every annotation of a ``CocoWholeBodyDataset`` must have all parts of the body. A warning is
    given if more than a tenth of the labelled keypoints lie outside their images. The number of boxes that mmpose
    leaves out because they lie outside their images is logged.

    Args:
        dataset (BaseDataset): A data set that has not read its files yet.

    Raises:
        FileNotFoundError: An annotation file or an image does not exist.
        ValueError: A file is not in COCO's format, or names an image outside its folder; the annotation file has no
            keypoints, a different number of them than the data set, or keypoints that are not finite; an image differs
            in size from the file's entry; boxes or keypoints are not in pixels; no annotation or detection can be used;
            ``bbox_file`` is not a ``.json`` file.
    """
    if isinstance(dataset, CocoWholeBodyDataset):
        check_exists(dataset.ann_file)
        _check_whole_bodies(dataset.ann_file)
        return
    if not isinstance(dataset, CocoDataset) or type(dataset).parse_data_info is not CocoDataset.parse_data_info:
        return
    # mmpose would also read a pickle or YAML file, which can execute code.
    if dataset.bbox_file and PurePath(dataset.bbox_file).suffix != '.json':
        raise ValueError(f'bbox_file={dataset.bbox_file!r}: expected a .json file; convert the boxes')
    for file in filter(None, (dataset.ann_file, dataset.bbox_file)):
        check_exists(file)
    tables = _read_tables(dataset.ann_file)
    images = {image['id']: image for image in tables['images']}
    objects = _objects(dataset, tables['annotations'], images)
    if dataset.bbox_file:
        used = _check_detections(dataset.bbox_file, images)
    else:
        _check_objects(dataset, objects, images)
        used = {one['image_id'] for one in objects}
    described = [CocoImage(_path(dataset, images[number]), number, _size(images[number])) for number in sorted(used)]
    check_images(described, dataset.ann_file, dataset.data_prefix['img'], dataset.pipeline.transforms)


def _check_whole_bodies(file):
    """Check that all annotations have the parts of a whole body, which mmpose reads without a check."""
    for annotation in _read_tables(file)['annotations']:
        for part, number in WHOLE_BODY.items():
            values = annotation.get(part)
            if not isinstance(values, list) or len(values) != 3 * number:
                found = f'{len(values)} values' if isinstance(values, list) else brief(values)
                raise ValueError(
                    f'{file}: annotation {annotation["id"]} has {found} as {part}, expected x, y and visibility of '
                    f'{number}, {3 * number} values. Whole bodies have {sum(WHOLE_BODY.values())} keypoints, in a file '
                    'like coco_wholebody_train_v1.0.json of COCO-WholeBody; person_keypoints_train2017.json has the '
                    f'{WHOLE_BODY["keypoints"]} of the body only'
                )


def _read_tables(file):
    with fileio.get_local_path(file) as path:
        content = read_json(path)
    tables = {name: content.get(name, []) for name in ENTRIES}
    for name, (kind, fields) in ENTRIES.items():
        check_entries(file, kind, tables[name], fields, whole_ids=True)
    for image in tables['images']:
        relative_name(image['file_name'], f'{file}, image {image["id"]}')
    if not tables['categories']:
        raise ValueError(f'{file}: expected a list of categories, each with id and name, got none')
    return tables


def _objects(dataset, annotations, images):
    """Check all annotations and return those that mmpose uses, with a box and keypoints."""
    file, number = dataset.ann_file, dataset.metainfo['num_keypoints']
    for annotation in annotations:
        if 'bbox' in annotation and not is_box(annotation['bbox']):
            raise ValueError(
                f'{file}: annotation {annotation["id"]} has the bbox {brief(annotation["bbox"])}, expected x, y, width '
                'and height in pixels'
            )
        if 'keypoints' in annotation:
            _check_keypoints(annotation, number, file)
    found = [one for one in annotations if one['image_id'] in images and 'bbox' in one and 'keypoints' in one]
    # A test set whose annotations are not public has detections only.
    if not found and not (dataset.bbox_file and not annotations):
        raise ValueError(
            f'{file}: none of its {len(annotations)} objects has a box and keypoints; expected a file like '
            'person_keypoints_train2017.json of COCO (instances_train2017.json has no keypoints)'
        )
    return found


def _check_keypoints(annotation, number, file):
    values = annotation['keypoints']
    if not isinstance(values, list) or len(values) != 3 * number:
        found = f'{len(values)} values' if isinstance(values, list) else brief(values)
        raise ValueError(
            f'{file}: annotation {annotation["id"]} has {found} as keypoints, expected x, y and visibility of '
            f'{number}, {3 * number} values; give another data set as metainfo'
        )
    if not all(map(is_coordinate, values)):
        raise ValueError(
            f'{file}: annotation {annotation["id"]} has keypoints that are not finite numbers of pixels, expected x, y '
            f'and visibility of {number}'
        )


def _check_objects(dataset, objects, images):
    file, boxes = dataset.ann_file, [one['bbox'] for one in objects]
    sizes = [_size(images[one['image_id']]) for one in objects]
    _check_boxes_in_pixels(file, boxes)
    warn_of_boxes_beyond([_corners(box) for box in boxes], sizes, file)
    keypoints = np.array([one['keypoints'] for one in objects], float).reshape(len(objects), -1, 3)  # (N, K, 3)
    _check_keypoints_in_pixels(file, keypoints)
    _warn_of_keypoints_outside(dataset, objects, images, keypoints)
    if dataset.data_mode == 'topdown':
        report_outside(file, sum(_is_left_out(box, size) for box, size in zip(boxes, sizes, strict=True)))
        if not any(_is_used(dataset, one, images[one['image_id']]) for one in objects):
            raise ValueError(
                f'{file}: none of its {len(objects)} objects with keypoints can be used: each is a crowd, has no '
                'labelled keypoint, or has a box outside its image; check the file'
            )


def _check_boxes_in_pixels(file: str, boxes: Sequence[Sequence[float]]):
    if 0 < max((max(box[2:]) for box in boxes), default=0) <= 1:
        raise ValueError(
            f'{file}: none of the {len(boxes)} boxes is larger than one pixel, the first is {brief(boxes[0])}. '
            'Expected x, y, width and height in pixels. If these are fractions of the image size, multiply them by its '
            'width and height, and the keypoints as well'
        )


def _check_keypoints_in_pixels(file, keypoints):
    found = keypoints[keypoints[..., 2] > 0][:, :2]
    if found.size and 0 < found.max() <= 1 and found.min() >= 0:
        raise ValueError(
            f'{file}: none of the {len(found)} labelled keypoints is more than one pixel away from the corner of its '
            f'image, the first is {found[0][0]:.3g}, {found[0][1]:.3g}. Expected x and y in pixels. If these are '
            'fractions of the image size, multiply them by its width and height'
        )


def _warn_of_keypoints_outside(dataset, objects, images, keypoints):
    limits = np.array([_size(images[one['image_id']])[::-1] for one in objects])[:, None]  # (N, 1, 2), x before y
    labelled = keypoints[..., 2] > 0
    outside = ((keypoints[..., :2] < 0) | (keypoints[..., :2] > limits)).any(-1) & labelled
    if outside.sum() > SHARE_OUTSIDE * labelled.sum():
        first = objects[outside.any(1).argmax()]
        warnings.warn(
            f'{dataset.ann_file}: {outside.sum()} of the {labelled.sum()} labelled keypoints lie outside their images, '
            f'the first in annotation {first["id"]} of {_path(dataset, images[first["image_id"]])}. Check that '
            'they are in pixels of these images, x before y; the visibility of keypoints that are not labelled is 0',
            stacklevel=2,
        )


def _check_detections(file, images):
    """Check detected boxes, and return the numbers of the images in which they find persons."""
    try:
        detections = fileio.load(file)
    except (ValueError, RecursionError) as error:
        raise ValueError(f'{file}: damaged, or not JSON ({brief(str(error))}); {DETECTIONS}') from error
    is_list = isinstance(detections, list)
    if wrong := [one for one in detections if not _is_detection(one, images)] if is_list else [detections]:
        raise ValueError(f'{file}: {DETECTIONS}, got {brief(wrong[0])}; image_id must be in the annotation file')
    _check_boxes_in_pixels(file, [one['bbox'] for one in detections])
    persons = [one for one in detections if one['category_id'] == PERSON]
    used = {one['image_id'] for one in persons if overlaps(_corners(one['bbox']), _size(images[one['image_id']]))}
    if not used:
        raise ValueError(
            f'{file}: none of its {len(persons)} boxes of persons (category_id {PERSON}) lies in an image; {DETECTIONS}'
        )
    return used


def _is_detection(value, images):
    return (
        isinstance(value, dict)
        and is_count(value.get('image_id'))
        and value['image_id'] in images
        and is_count(value.get('category_id'))
        and is_box(value.get('bbox'))
        and type(score := value.get('score')) in (int, float)
        and math.isfinite(score)
    )


def _is_used(dataset, annotation, image):
    parsed = dataset.parse_data_info(dict(raw_ann_info=annotation, raw_img_info=image | dict(img_path='')))
    return dataset._is_valid_instance(parsed)


def _is_left_out(box, size):
    """Return whether mmpose, which clips a box to the centres of the outermost pixels, leaves nothing of it."""
    (x1, y1, x2, y2), (height, width) = _corners(box), size
    return not (min(x2, width - 1) > max(x1, 0) and min(y2, height - 1) > max(y1, 0))


def _corners(box):
    x, y, width, height = box
    return x, y, x + width, y + height


def _size(image):
    return image['height'], image['width']


def _path(dataset, image):
    return fileio.join_path(dataset.data_prefix['img'], image['file_name'])


def report_outside(file: str, count: int):
    """Log how many boxes of a file are left out, if any."""
    if count:
        print_log(
            f'{file}: boxes left out because they are empty or outside their image: {count}',
            logger='current',
            level=logging.WARNING,
        )


def has_area(box: Sequence[float]) -> bool:
    """Return whether a box ``(x1, y1, x2, y2)`` is finite and not empty."""
    x1, y1, x2, y2 = box
    return x2 > x1 and y2 > y1 and all(map(math.isfinite, box))


def overlaps(box: Sequence[float], size: Sequence[int]) -> bool:
    """Return whether a box ``(x1, y1, x2, y2)`` overlaps an image of this height and width."""
    (x1, y1, x2, y2), (height, width) = box, size
    return has_area(box) and has_area((max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)))
