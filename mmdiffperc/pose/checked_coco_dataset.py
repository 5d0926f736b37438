"""COCO person keypoints, checked while they are loaded."""

import json
import logging
import math
import warnings
from collections.abc import Sequence
from pathlib import PurePath

import numpy as np
from mmengine import fileio
from mmengine.logging import print_log
from mmpose.datasets.datasets import CocoDataset
from mmpose.registry import DATASETS

from mmdiffperc.coco_fields import check_entries, check_exists, is_box, is_coordinate, is_count
from mmdiffperc.coco_images import CocoImage, check_images, warn_of_boxes_beyond
from mmdiffperc.files import brief, read_json, relative_name
from mmdiffperc.validation import validated

# What mmpose reads of each entry; objects without a box or keypoints are left out.
ENTRIES = dict(
    images=('image', ('id', 'file_name', 'height', 'width')),
    annotations=('annotation', ('id', 'image_id', 'category_id')),
    categories=('category', ('id', 'name')),
)
# Of the labelled keypoints. People whom the edge of an image cuts are sometimes labelled beyond it.
SHARE_OUTSIDE = 0.1
FORMAT = (
    'expected images with id, file_name, height and width, annotations with id, image_id, category_id, bbox and '
    'keypoints, and categories with id and name'
)
DETECTIONS = 'expected a list of objects with image_id, category_id, bbox [x, y, width, height] in pixels, and score'
# What mmpose and its reader of COCO raise where something in a file is missing, or of another type.
NOT_COCO = (
    json.JSONDecodeError,
    UnicodeDecodeError,
    RecursionError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
)


# Under mmpose's name, too, so that the checks reach the configs that people have.
@DATASETS.register_module(name=['CheckedCocoDataset', 'CocoDataset'], force=True)
@validated
class CheckedCocoDataset(CocoDataset):
    """mmpose's ``CocoDataset``, which reports what is wrong with a file instead of giving no samples or failing later.

    Boxes that lie completely outside their image are left out, annotated and detected ones alike; how many is
    logged. A warning says if more than a tenth of the labelled keypoints lie outside of their images. The sizes of the
    images are compared with the file, see :func:`.check_images`.

    Args:
        **kwargs: Arguments of mmpose's ``CocoDataset``.

    Raises:
        FileNotFoundError: An annotation file or an image does not exist.
        ValueError: A file is not in COCO's format, or names an image outside of its folder; the annotation file has no
            keypoints, another number of them than the data set, or some that are not finite; an image has another size
            than the file says; boxes or keypoints are not in pixels; nothing usable is left of the annotations or of
            the detections in ``bbox_file``; ``bbox_file`` is not a ``.json`` file.
    """

    def load_data_list(self) -> list[dict]:
        """Load the annotations, or the detections."""
        # mmpose would read a pickle or yaml, too, which can execute code.
        if self.bbox_file and PurePath(self.bbox_file).suffix != '.json':
            raise ValueError(f'bbox_file={self.bbox_file!r}: expected a .json file; convert the boxes')
        for file in filter(None, (self.ann_file, self.bbox_file)):
            check_exists(file)
        try:
            return super().load_data_list()
        except NOT_COCO as error:
            self._check_entries()
            files = f'{self.ann_file} or {self.bbox_file}' if self.bbox_file else self.ann_file
            problem = brief(f'{type(error).__name__}: {error}')
            raise ValueError(f"{files}: damaged, or not in COCO's format ({problem}); {FORMAT}") from error

    def _check_entries(self):
        """Name the entry that lacks what pycocotools or mmpose looked for, if that was the error."""
        with fileio.get_local_path(self.ann_file) as path:
            content = read_json(path)
        for table, (kind, fields) in ENTRIES.items():
            check_entries(self.ann_file, kind, content.get(table, []), fields)

    def parse_data_info(self, raw_data_info: dict) -> dict | None:
        """Parse the annotation of an object; check that it has as many keypoints as the data set."""
        annotation = raw_data_info['raw_ann_info']
        self._check_image(raw_data_info['raw_img_info'])
        self._check_numbers('annotation', annotation, 'id', 'category_id')
        if 'bbox' in annotation and not is_box(annotation['bbox']):
            raise ValueError(
                f'{self.ann_file}: annotation {annotation["id"]} has the bbox {brief(annotation["bbox"])}, expected x, '
                'y, width and height in pixels'
            )
        if 'keypoints' in annotation:
            self._check_keypoints(annotation)
        return super().parse_data_info(raw_data_info)

    def _check_keypoints(self, annotation):
        values, expected = annotation['keypoints'], self._metainfo['num_keypoints']
        if not isinstance(values, list) or len(values) != 3 * expected:
            found = f'{len(values)} values' if isinstance(values, list) else brief(values)
            raise ValueError(
                f'{self.ann_file}: annotation {annotation["id"]} has {found} as keypoints, expected x, y '
                f'and visibility of {expected}, {3 * expected} values; give another data set as metainfo'
            )
        if not all(map(is_coordinate, values)):
            raise ValueError(
                f'{self.ann_file}: annotation {annotation["id"]} has keypoints that are not finite numbers of pixels, '
                f'expected x, y and visibility of {expected}'
            )

    def _load_annotations(self):
        instances, images = super()._load_annotations()
        self._check_tables()
        if not instances:
            raise self._no_keypoints()
        self._check_images(instances)
        self._check_boxes(instances)
        self._check_keypoints_in_pixels(instances)
        self._warn_of_keypoints_outside(instances)
        return instances, images

    def _check_images(self, instances):
        paths = {one['img_id']: one['img_path'] for one in instances}
        images = [CocoImage(path, number, self._size(number)) for number, path in paths.items()]
        check_images(images, self.ann_file, self.data_prefix['img'], self.pipeline.transforms)

    def _check_boxes(self, instances):
        boxes = [one['raw_ann_info']['bbox'] for one in instances]  # mmpose has clipped its own to their images
        check_boxes_in_pixels(self.ann_file, boxes)
        corners = [(x, y, x + width, y + height) for x, y, width, height in boxes]
        warn_of_boxes_beyond(corners, [self._size(one['img_id']) for one in instances], self.ann_file)

    def _size(self, number):
        image = self.coco.imgs[number]
        return image['height'], image['width']

    def _check_keypoints_in_pixels(self, instances):
        keypoints, labelled = _joined(instances)
        found = keypoints[labelled]
        if found.size and 0 < found.max() <= 1 and found.min() >= 0:
            raise ValueError(
                f'{self.ann_file}: none of the {len(found)} labelled keypoints is farther than one pixel from the '
                f'corner of its image, the first is {found[0][0]:.3g}, {found[0][1]:.3g}. Expected x and y in pixels. '
                'If these are shares of the image, multiply them by its width and height'
            )

    def _warn_of_keypoints_outside(self, instances):
        limits = np.array([self._size(one['img_id'])[::-1] for one in instances])[:, None]  # (N, 1, 2), x before y
        keypoints, labelled = _joined(instances)
        outside = ((keypoints < 0) | (keypoints > limits)).any(-1) & labelled
        if outside.sum() > SHARE_OUTSIDE * labelled.sum():
            first = instances[outside.any(1).argmax()]
            warnings.warn(
                f'{self.ann_file}: {outside.sum()} of the {labelled.sum()} labelled keypoints lie outside of their '
                f'images, first of annotation {first["id"]} in {first["img_path"]}. Check that they are in pixels of '
                'these images, x before y; keypoints that are not labelled have visibility 0',
                stacklevel=2,
            )

    def _check_tables(self):
        for image in self.coco.imgs.values():
            self._check_image(image)
        categories = self.coco.dataset.get('categories', ())
        if not categories or not all(is_count(one['id']) and isinstance(one['name'], str) for one in categories):
            raise ValueError(f'{self.ann_file}: has the categories {brief(categories)}; {FORMAT}')

    def _check_image(self, image):
        relative_name(image['file_name'], f'{self.ann_file}, image {brief(image["id"])}')
        self._check_numbers('image', image, 'id', 'height', 'width')

    def _check_numbers(self, kind, entry, *names):
        if wrong := [name for name in names if not is_count(entry[name])]:
            raise ValueError(
                f'{self.ann_file}: {kind} {brief(entry["id"])} has {wrong[0]} {brief(entry[wrong[0]])}, expected a '
                'whole number'
            )

    def _no_keypoints(self):
        return ValueError(
            f'{self.ann_file}: none of its {len(self.coco.anns)} objects has a box and keypoints; expected a file '
            'like person_keypoints_train2017.json of COCO (instances_train2017.json has none)'
        )

    def _get_topdown_data_infos(self, instance_list):
        # mmpose has clipped the boxes to their images.
        report_outside(self.ann_file, sum(not has_area(one['bbox'][0]) for one in instance_list))
        if not (usable := super()._get_topdown_data_infos(instance_list)):
            raise ValueError(
                f'{self.ann_file}: of its {len(instance_list)} objects with keypoints none can be used: each is a '
                'crowd, has no labelled keypoint, or has a box outside of its image; check the file'
            )
        return usable

    def _check_detections(self):
        detections = fileio.load(self.bbox_file)
        is_list = isinstance(detections, list)
        if wrong := [one for one in detections if not is_detection(one)] if is_list else [detections]:
            raise ValueError(f'{self.bbox_file}: {DETECTIONS}, got {brief(wrong[0])}')
        check_boxes_in_pixels(self.bbox_file, [one['bbox'] for one in detections])

    def _load_detection_results(self):
        self._check_detections()
        detections = super()._load_detection_results()
        self._check_tables()
        annotations = self.coco.anns.values()  # for the metric; none in a test set whose truth is not public
        if annotations and not any('keypoints' in one for one in annotations):
            raise self._no_keypoints()
        usable = [one for one in detections if overlaps(one['bbox'][0], one['img_shape'])]
        report_outside(self.bbox_file, len(detections) - len(usable))
        if not usable:
            raise ValueError(
                f'{self.bbox_file}: none of its {len(detections)} boxes of persons (category_id 1) lies in an image; '
                f'{DETECTIONS}'
            )
        self._check_images(usable)
        return usable


def _joined(instances):
    """The keypoints ``(N, K, 2)`` of all objects, and which of them ``(N, K)`` are labelled."""
    keypoints = np.concatenate([one['keypoints'] for one in instances])
    return keypoints, np.concatenate([one['keypoints_visible'] for one in instances]) > 0


def is_detection(value: object) -> bool:
    """Return whether a value of a JSON file is a detected object."""
    return (
        isinstance(value, dict)
        and is_count(value.get('image_id'))
        and is_count(value.get('category_id'))
        and is_box(value.get('bbox'))
        and type(score := value.get('score')) in (int, float)
        and math.isfinite(score)
    )


def check_boxes_in_pixels(file: str, boxes: Sequence[Sequence[float]]):
    """Check that boxes ``(x, y, width, height)`` are in pixels, and not in shares of the image.

    Raises:
        ValueError: No box is larger than a pixel.
    """
    if 0 < max((max(box[2:]) for box in boxes), default=0) <= 1:
        raise ValueError(
            f'{file}: none of the {len(boxes)} boxes is larger than one pixel, the first is {brief(boxes[0])}. '
            'Expected x, y, width and height in pixels. If these are shares of the image, multiply them by its width '
            'and height, and the keypoints, too'
        )


def report_outside(file: str, count: int):
    """Log how many boxes of a file are left out, if any."""
    if count:
        print_log(
            f'{file}: boxes left out, because they are empty or outside their image: {count}',
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
