"""RefCOCO for referring segmentation."""

from typing import Annotated, Literal

import numpy as np
from mmengine import fileio
from mmengine.logging import MMLogger
from mmengine.utils import is_abs
from mmseg.datasets import BaseSegDataset
from mmseg.registry import DATASETS
from pydantic import Field

from mmdiffperc.coco import CocoImage, check_images
from mmdiffperc.validation import Expected, validated

from .coco_segmentation import check_polygons
from .refer_files import SENTENCE_FIELDS, Instances, load_refs

Seed = Annotated[int, Field(ge=0, lt=2**32), Expected('a whole number from 0 to 2**32 - 1')]


@DATASETS.register_module()
@validated
class ReferringSegDataset(BaseSegDataset):
    """RefCOCO, RefCOCO+ and RefCOCOg: segment the object that a sentence refers to.

    It reads the files of Yu et al. (ECCV 2016) with the arguments of mmdet's ``RefCocoDataset``. A training sample is
    an object with one of its sentences, drawn anew each time with NumPy's generator, which mmengine seeds. With
    ``test_mode=True``, every sentence is a sample. Like every data set of mmseg, it is checked when it is built, see
    :func:`.check_seg_dataset`.

    Args:
        ann_file (str): COCO JSON file with the objects, ``refcoco/instances.json``.
        split_file (str): Pickle of the sentences; nothing in it is executed. ``refs(unc).p`` of RefCOCO and RefCOCO+
            has the splits train, val, testA and testB; ``refs(umd).p`` of RefCOCOg has train, val and test;
            ``refs(google).p`` has train and val, and for RefCOCO also test.
        split (str): Name of the split. Defaults to 'train'.
        sentence_field (str): ``'sent'`` reads the cleaned sentences, in lower case and without punctuation, as the
            official code of LAVT and VPD does. ``'raw'`` reads the sentences as typed. A sentence that has only the
            other field is read from it. Defaults to 'sent'.
        filter_cfg (dict, optional): ``dict(filter_empty_sentences=True)`` leaves out sentences without a word, which
            otherwise raise an error. Default: None.
        shuffle_seed (int, optional): Seed with which every sample gets the sentences of another one. The score of a
            model then shows how much it depends on them. Default: None, every sample keeps its sentences.
        **kwargs: Arguments of mmseg's ``BaseSegDataset``.

    Raises:
        FileNotFoundError: A file, or an image that it names, does not exist.
        pickle.UnpicklingError: The pickle refers to something that could execute code.
        ValueError: The files have another format or do not match, the split does not exist, or a sentence is empty. An
            object has neither a run-length code nor a polygon with an area in its image. An image differs in size from
            its entry in the JSON file, see :func:`.check_images`.
    """

    METAINFO = dict(classes=('background', 'referred object'), palette=[[0, 0, 0], [220, 20, 60]])

    def __init__(
        self,
        ann_file: str,
        split_file: str,
        split: str = 'train',
        sentence_field: Literal[SENTENCE_FIELDS] = 'sent',
        shuffle_seed: Seed | None = None,
        **kwargs,
    ):
        self.split_file = split_file
        self.split = split
        self.sentence_field = sentence_field
        self.shuffle_seed = shuffle_seed
        super().__init__(ann_file=ann_file, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the files.

        Returns:
            list[dict]: For every sample: ``img_path``, ``img_id``, ``ref_id``, ``height``, ``width``, ``segmentation``
            (COCO's polygons or run-length code), ``sentences`` and mmseg's ``seg_fields``; with ``test_mode`` also
            ``sentence_number``, the index of the sentence among those of the object.
        """
        instances = Instances.load(self.ann_file, self.backend_args)
        objects = [self._object(ref, instances) for ref in self._refs_of_split()]
        objects = [one for one in objects if one['sentences']]
        self._check_images(objects)
        if self.test_mode:
            objects = [
                one | dict(sentences=[sentence], sentence_number=number)
                for one in objects
                for number, sentence in enumerate(one['sentences'])
            ]
        return objects if self.shuffle_seed is None else exchange_sentences(objects, self.shuffle_seed)

    def get_data_info(self, idx: int) -> dict:
        """Return a sample with its sentence as ``text``: in training a random one of its ``sentences``."""
        info = super().get_data_info(idx)
        sentences = info.pop('sentences')
        return info | dict(text=sentences[np.random.randint(len(sentences))])

    def _join_prefix(self):
        if self.split_file and not is_abs(self.split_file):
            self.split_file = fileio.join_path(self.data_root, self.split_file)
        super()._join_prefix()

    def _refs_of_split(self) -> list[dict]:
        refs = load_refs(self.split_file, self.backend_args)
        found = [ref for ref in refs if ref['split'] == self.split]
        if not found:
            splits = ', '.join(sorted({ref['split'] for ref in refs}))
            raise ValueError(f'{self.split_file} has no split {self.split!r}; expected one of: {splits[:200]}')
        return found

    def _object(self, ref: dict, instances: Instances) -> dict:
        image, annotation = instances.find(ref)
        segmentation = annotation.get('segmentation')
        try:
            check_polygons(segmentation, image['height'], image['width'])
        except ValueError as error:
            raise ValueError(
                f'{self.ann_file}, annotation {annotation["id"]} of ref {ref["ref_id"]}: {error}'
            ) from error
        return dict(
            img_path=fileio.join_path(self.data_prefix['img_path'], image['file_name']),
            img_id=image['id'],
            ref_id=ref['ref_id'],
            height=image['height'],
            width=image['width'],
            segmentation=segmentation,
            sentences=self._sentences(ref),
            seg_fields=[],
        )

    def _sentences(self, ref: dict) -> list[str]:
        fields = (self.sentence_field, *SENTENCE_FIELDS)
        texts = [next(one[field] for field in fields if field in one) for one in ref['sentences']]
        sentences = [text for text in texts if text.strip()]
        if sentences and len(sentences) == len(ref['sentences']):
            return sentences
        problem = f'{self.split_file}: ref {ref["ref_id"]} has an empty sentence, or no sentence'
        if not (self.filter_cfg or {}).get('filter_empty_sentences'):
            raise ValueError(
                f'{problem}. To leave out empty sentences, set filter_cfg=dict(filter_empty_sentences=True)'
            )
        MMLogger.get_current_instance().warning(f'{problem}: left out')
        return sentences

    def _check_images(self, objects: list[dict]):
        if not self.backend_args:
            sizes = {(one['img_path'], one['img_id']): (one['height'], one['width']) for one in objects}
            images = [CocoImage(*image, size) for image, size in sizes.items()]
            check_images(images, self.ann_file, self.data_prefix['img_path'], self.pipeline.transforms)


def exchange_sentences(samples: list[dict], seed: int) -> list[dict]:
    """Give every sample the sentences of another one.

    Raises:
        ValueError: There is only one sample.
    """
    if len(samples) < 2:
        raise ValueError(
            f'shuffle_seed gives every sample the sentences of another one, but the split has only {len(samples)}'
        )
    order = np.random.RandomState(seed).permutation(len(samples))
    others = dict(zip(order, np.roll(order, 1), strict=True))  # one cycle through all: no sample keeps its sentences
    return [sample | dict(sentences=samples[others[index]]['sentences']) for index, sample in enumerate(samples)]
