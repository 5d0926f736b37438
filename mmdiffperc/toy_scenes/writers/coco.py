"""Detection and person keypoints in COCO's json, read by the ``CocoDataset`` of mmdet and of mmpose."""

import json

import numpy as np

from mmdiffperc.toy_scenes.figure import KEYPOINTS, SKELETON
from mmdiffperc.toy_scenes.vocabulary import OBJECT_CLASSES

from .base import SPLITS, Writer, make_folder

COCO_CLASSES = (*OBJECT_CLASSES, 'figure')
CATEGORIES = [dict(id=number, name=name, supercategory='object') for number, name in enumerate(COCO_CLASSES, start=1)]
PERSON = dict(
    id=1,
    name='person',
    supercategory='person',
    keypoints=KEYPOINTS,
    skeleton=[[one + 1, other + 1] for one, other in SKELETON],
)
# Objects of a scene are numbered below this, so that annotations are numbered without counting scenes.
MAX_OBJECTS_PER_IMAGE = 100


def run_lengths(mask):
    """Return COCO's uncompressed run-length code of a mask (H, W): runs down the columns, the first one of zeros."""
    pixels = mask.ravel(order='F').astype(np.int8)
    changes = np.flatnonzero(np.diff(pixels)) + 1
    counts = np.diff([0, *changes, pixels.size]).tolist()
    return dict(counts=[0, *counts] if pixels[0] else counts, size=list(mask.shape))


def image_entry(sample, file_name):
    """Return the json entry of an image."""
    height, width = sample.rendering.image.shape[:2]
    return dict(id=sample.image_id, file_name=file_name, height=height, width=width)


def annotation_id(sample, instance):
    """Return a number that no other object of the data set has."""
    return sample.image_id * MAX_OBJECTS_PER_IMAGE + instance.index


def object_entry(sample, instance):
    """Return the json entry of an object: class, box, mask."""
    return dict(
        id=annotation_id(sample, instance),
        image_id=sample.image_id,
        category_id=COCO_CLASSES.index(instance.class_name) + 1,
        bbox=list(instance.bbox),
        area=instance.area,
        segmentation=run_lengths(sample.rendering.instance_map == instance.index + 1),
        iscrowd=0,
    )


def write_json(path, content):
    """Write compact json."""
    make_folder(path.parent)
    path.write_text(json.dumps(content, separators=(',', ':')))


class CocoWriter(Writer):
    """``coco/annotations/{instances,person_keypoints}_{train,val}.json``; images in ``images/{train,val}``."""

    def __init__(self, root):
        super().__init__(root)
        self.files = {
            (kind, split): dict(images=[], annotations=[], categories=categories)
            for kind, categories in (('instances', CATEGORIES), ('person_keypoints', [PERSON]))
            for split in SPLITS
        }

    @staticmethod
    def write_scene(root, sample):
        """Write nothing; return the entries of the json files."""
        objects = [object_entry(sample, instance) for instance in sample.rendering.instances]
        people = [
            _person(entry, instance)
            for entry, instance in zip(objects, sample.rendering.instances, strict=True)
            if instance.keypoints is not None
        ]
        return sample.split, image_entry(sample, sample.file_name), objects, people

    def add(self, record):
        """Collect the entries of one scene."""
        split, image, objects, people = record
        for kind, annotations in (('instances', objects), ('person_keypoints', people)):
            self.files[kind, split]['images'].append(image)
            self.files[kind, split]['annotations'] += annotations

    def close(self):
        """Write the json files."""
        for (kind, split), content in self.files.items():
            write_json(self.root / f'coco/annotations/{kind}_{split}.json', content)


def _person(entry, instance):
    keypoints = [round(float(value), 3) for value in instance.keypoints.ravel()]
    return entry | dict(
        category_id=PERSON['id'], keypoints=keypoints, num_keypoints=int((instance.keypoints[:, 2] > 0).sum())
    )
