"""Referring segmentation in RefCOCO's json and pickle, read by mmdet's ``RefCocoDataset``."""

import json
import pickle

from .base import Writer, make_folder
from .coco import CATEGORIES, annotation_id, image_entry, object_entry, write_json


class RefCocoWriter(Writer):
    """``refcoco/instances.json`` and ``refcoco/refs(unc).p``; images in ``images/``, of all splits together.

    Of the validation scenes every second is for ``val``; the others are for ``testA`` if they show a figure, as
    RefCOCO's show people, and for ``testB`` if not.
    """

    def __init__(self, root):
        super().__init__(root)
        self.instances = dict(images=[], annotations=[], categories=CATEGORIES)
        self.refs = []
        self.num_sentences = 0

    @staticmethod
    def write_scene(root, sample):
        """Write nothing; return the image, its objects and the sentences about each."""
        image = image_entry(sample, f'{sample.split}/{sample.file_name}')
        objects = [object_entry(sample, instance) for instance in sample.rendering.instances]
        refs = []
        for instance, entry in zip(sample.rendering.instances, objects, strict=True):
            sentences = [sentence for index, sentence in sample.references if index == instance.index]
            if sentences:
                refs.append((_split(sample), annotation_id(sample, instance), entry['category_id'], sentences))
        return image, objects, refs

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
                        dict(sent_id=number, raw=text, sent=text, tokens=text.split())
                        for number, text in enumerate(sentences, start=first)
                    ],
                )
            )

    def close(self):
        """Write the json file and the pickle."""
        folder = make_folder(self.root / 'refcoco')
        write_json(folder / 'instances.json', self.instances)
        # Pickle abbreviates objects it has met, so equal content can give unequal bytes; not if it comes from json.
        refs = json.loads(json.dumps(self.refs))
        (folder / 'refs(unc).p').write_bytes(pickle.dumps(refs, protocol=4))


def _split(sample):
    if sample.split == 'train' or sample.index % 2 == 0:
        return sample.split
    return 'testA' if any(one.keypoints is not None for one in sample.rendering.instances) else 'testB'
