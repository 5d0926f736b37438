"""COCO's json for detection and person keypoints, and RefCOCO's json and pickle for referring segmentation."""

import json
import pickle

import numpy as np

from mmdiffperc.toy_scenes.figure import KEYPOINTS, SKELETON
from mmdiffperc.toy_scenes.relations import decisive_part
from mmdiffperc.toy_scenes.vocabulary import OBJECT_CLASSES

from .base import SPLITS, Writer, write_file

COCO_CLASSES = (*OBJECT_CLASSES, 'figure')
CATEGORIES = [dict(id=number, name=name, supercategory='object') for number, name in enumerate(COCO_CLASSES, start=1)]
PERSON = dict(
    id=1,
    name='person',
    supercategory='person',
    keypoints=KEYPOINTS,
    skeleton=[[one + 1, other + 1] for one, other in SKELETON],
)
# A scene has fewer objects than this, so the id of an annotation follows from the id of its image.
MAX_OBJECTS_PER_IMAGE = 100


class CocoWriter(Writer):
    """``{train,val}/*.png`` and ``annotations/{instances,person_keypoints}_{train,val}.json``.

    The ``CocoDataset`` classes of mmdet and mmpose read them.
    """

    def __init__(self, root, splits=SPLITS):
        super().__init__(root, splits)
        self.files = {
            (kind, split): dict(images=[], annotations=[], categories=categories)
            for kind, categories in (('instances', CATEGORIES), ('person_keypoints', [PERSON]))
            for split in splits
        }

    @staticmethod
    def write_scene(root, sample):
        """Write the image; return the entries of the json files."""
        write_file(root / sample.split / sample.file_name, sample.png)
        objects = _object_entries(sample)
        people = [
            _person_entry(entry, instance)
            for entry, instance in zip(objects, sample.rendering.instances, strict=True)
            if instance.keypoints is not None
        ]
        return sample.split, _image_entry(sample, sample.file_name), objects, people

    def add(self, record):
        """Collect the entries of one scene."""
        split, image, objects, people = record
        for kind, annotations in (('instances', objects), ('person_keypoints', people)):
            self.files[kind, split]['images'].append(image)
            self.files[kind, split]['annotations'] += annotations

    def close(self):
        """Write the json files."""
        for (kind, split), content in self.files.items():
            write_file(self.root / f'annotations/{kind}_{split}.json', _compact(content))


class RefCocoWriter(Writer):
    """``images/{train,val}/*.png``, ``instances.json`` and ``refs(unc).p``.

    mmdet's ``RefCocoDataset`` and :class:`.ReferringSegDataset` read them. As in RefCOCO, ``sent`` is in lower case and
    has no punctuation, unlike ``raw``. Validation scenes with an even number belong
    to the split ``val``. The others belong to ``testA`` if they show a figure, as RefCOCO's show people, and to
    ``testB`` if they do not.
    """

    def __init__(self, root, splits=SPLITS):
        super().__init__(root, splits)
        self.instances = dict(images=[], annotations=[], categories=CATEGORIES)
        self.refs = []
        self.num_sentences = 0

    @classmethod
    def write_scene(cls, root, sample):
        """Write the image; return its entry, those of its objects, and the sentences that refer to each."""
        image = _image_entry(sample, f'{sample.split}/{sample.file_name}')
        write_file(root / 'images' / image['file_name'], sample.png)
        objects = _object_entries(sample)
        refs = []
        for instance, entry in zip(sample.rendering.instances, objects, strict=True):
            splits = {}
            for index, expression, sentence in sample.references:
                if index == instance.index and (split := cls.split_of(sample, expression)):
                    splits.setdefault(split, []).append(sentence)
            refs += [(split, entry['id'], entry['category_id'], sentences) for split, sentences in splits.items()]
        return image, objects, refs

    @staticmethod
    def split_of(sample, expression):
        """Return the split of a sentence, which does not depend on what the sentence says, or None to leave it out."""
        if sample.split == 'train' or sample.index % 2 == 0:
            return sample.split
        return 'testA' if any(one.keypoints is not None for one in sample.rendering.instances) else 'testB'

    def add(self, record):
        """Collect the entries of one scene and number its sentences."""
        image, objects, refs = record
        self.instances['images'].append(image)
        self.instances['annotations'] += objects
        for split, ann_id, category_id, sentences in refs:
            first, self.num_sentences = self.num_sentences, self.num_sentences + len(sentences)
            self.refs.append(
                dict(
                    ref_id=len(self.refs),
                    ann_id=ann_id,
                    image_id=image['id'],
                    category_id=category_id,
                    split=split,
                    file_name=image['file_name'],
                    sent_ids=list(range(first, self.num_sentences)),
                    sentences=[
                        dict(sent_id=number, raw=f'{sent[0].upper()}{sent[1:]}.', sent=sent, tokens=sent.split())
                        for number, sent in enumerate(sentences, start=first)
                    ],
                )
            )

    def close(self):
        """Write the json file and the pickle."""
        write_file(self.root / 'instances.json', _compact(self.instances))
        # Pickle abbreviates objects that it has met, so equal content may give unequal bytes; json gives new objects.
        refs = json.loads(json.dumps(self.refs))
        write_file(self.root / 'refs(unc).p', pickle.dumps(refs, protocol=4))


class SentenceKindsWriter(RefCocoWriter):
    """The files of RefCOCO with other splits, which show what a trained model understands.

    The split of a sentence is the part of it that singles out the object: ``class``, ``colour``, ``superlative`` or
    ``relation``, see :func:`.decisive_part`. Sentences with a relation that is not necessary are left out.
    """

    @staticmethod
    def split_of(sample, expression):
        """Return the part of the sentence that singles out its object."""
        return decisive_part(expression, sample.rendering.instances, sample.rendering.image.shape[1])


def run_lengths(mask):
    """Return COCO's uncompressed run-length code of a mask (H, W): runs down the columns, the first one of zeros."""
    pixels = mask.ravel(order='F').astype(np.int8)
    changes = np.flatnonzero(np.diff(pixels)) + 1
    counts = np.diff([0, *changes, pixels.size]).tolist()
    return dict(counts=[0, *counts] if pixels[0] else counts, size=list(mask.shape))


def _image_entry(sample, file_name):
    height, width = sample.rendering.image.shape[:2]
    return dict(id=sample.image_id, file_name=file_name, height=height, width=width)


def _object_entries(sample):
    """Return class, box and mask of each object."""
    return [
        dict(
            id=sample.image_id * MAX_OBJECTS_PER_IMAGE + instance.index,
            image_id=sample.image_id,
            category_id=COCO_CLASSES.index(instance.class_name) + 1,
            bbox=list(instance.bbox),
            area=instance.area,
            segmentation=run_lengths(sample.rendering.instance_map == instance.index + 1),
            iscrowd=0,
        )
        for instance in sample.rendering.instances
    ]


def _person_entry(entry, instance):
    keypoints = [round(float(value), 3) for value in instance.keypoints.ravel()]
    return entry | dict(
        category_id=PERSON['id'], keypoints=keypoints, num_keypoints=int((instance.keypoints[:, 2] > 0).sum())
    )


def _compact(content):
    return json.dumps(content, separators=(',', ':'))
