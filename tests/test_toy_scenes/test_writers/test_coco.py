import json
import pickle
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from mmdet.datasets import CocoDataset as DetectionDataset
from mmdet.datasets import RefCocoDataset
from mmpose.datasets.datasets import CocoDataset as PoseDataset
from pycocotools import mask as coco_mask

from mmdiffperc.toy_scenes.relations import decisive_part
from mmdiffperc.toy_scenes.writers import make_sample, write_dataset
from mmdiffperc.toy_scenes.writers.coco import COCO_CLASSES, run_lengths

LOAD_MASKS = [
    dict(type='mmdet.LoadImageFromFile'),
    dict(type='mmdet.LoadAnnotations', with_mask=True, with_bbox=False, with_seg=False, with_label=False),
]


@pytest.mark.parametrize('first', [0, 1])
def test_run_lengths_are_coco_s(first):
    mask = np.random.default_rng(0).random((7, 11)) > 0.5
    mask[0, 0] = first
    code = run_lengths(mask)
    assert (coco_mask.decode(coco_mask.frPyObjects(code, 7, 11)) == mask).all()


@pytest.mark.parametrize('mask', [np.zeros((3, 5), bool), np.ones((3, 5), bool)])
def test_run_lengths_of_uniform_masks(mask):
    assert (coco_mask.decode(coco_mask.frPyObjects(run_lengths(mask), 3, 5)) == mask).all()


def test_mmdet_reads_it(toy_root, toy_spec):
    pipeline = [
        dict(type='mmdet.LoadImageFromFile'),
        dict(type='mmdet.LoadAnnotations', with_bbox=True, with_mask=True),
    ]
    dataset = DetectionDataset(
        data_root=str(toy_root / 'coco'),
        ann_file='annotations/instances_val.json',
        data_prefix=dict(img='val/'),
        metainfo=dict(classes=COCO_CLASSES),
        pipeline=pipeline,
    )
    assert len(dataset) == toy_spec.num_val
    for index, data in enumerate(dataset):
        sample = make_sample(toy_spec, 'val', index)
        truth = sample.rendering
        assert Path(data['img_path']).name == sample.file_name and data['img_id'] == sample.image_id
        assert (data['img'][..., ::-1] == truth.image).all()
        found = zip(data['gt_bboxes'].numpy(), data['gt_bboxes_labels'], data['gt_masks'].masks, strict=True)
        for (box, label, mask), one in zip(found, truth.instances, strict=True):
            assert COCO_CLASSES[label] == one.class_name
            x, y, width, height = one.bbox
            assert box.tolist() == [x, y, x + width, y + height]
            assert (mask == (truth.instance_map == one.index + 1)).all()


def test_mmpose_reads_it(toy_root, toy_spec):
    dataset = PoseDataset(
        data_root=str(toy_root / 'coco'),
        ann_file='annotations/person_keypoints_val.json',
        data_prefix=dict(img='val/'),
        pipeline=[dict(type='mmpose.LoadImage')],
    )
    figures = [
        (sample, one)
        for sample in (make_sample(toy_spec, 'val', index) for index in range(toy_spec.num_val))
        for one in sample.rendering.instances
        if one.keypoints is not None
    ]
    assert len(dataset) == len(figures) >= 2
    for data, (sample, one) in zip(dataset, figures, strict=True):
        assert data['img_id'] == sample.image_id
        assert (data['img'][..., ::-1] == sample.rendering.image).all()
        assert np.allclose(data['keypoints'][0], one.keypoints[:, :2], atol=1e-3)
        assert (data['keypoints_visible'][0] == (one.keypoints[:, 2] > 0)).all()
        x, y, width, height = one.bbox
        # mmpose clips a box to the last pixel's index.
        assert np.allclose(data['bbox'][0], [x, y, x + width, y + height], atol=1)


def test_numbers_are_unique_over_the_splits(toy_root):
    images, objects = [], []
    for split in ('train', 'val'):
        content = json.loads((toy_root / f'coco/annotations/instances_{split}.json').read_text())
        images += [one['id'] for one in content['images']]
        objects += [one['id'] for one in content['annotations']]
    assert len(images) == len(set(images)) == 13
    assert len(objects) == len(set(objects)) >= 3 * 13


def read_refcoco(root, split):
    return RefCocoDataset(
        data_root=str(root / 'refcoco'),
        data_prefix=dict(img_path='images/'),
        ann_file='instances.json',
        split_file='refs(unc).p',
        split=split,
        text_mode='original',
        pipeline=LOAD_MASKS,
    )


def samples_of(spec, split):
    """Samples that belong to a split of RefCOCO's, by file name."""
    found = [
        make_sample(spec, 'train' if split == 'train' else 'val', index)
        for index in range(spec.num_train if split == 'train' else spec.num_val)
    ]
    if split != 'train':
        found = [one for one in found if (one.index % 2 == 0) == (split == 'val')]
    if split.startswith('test'):
        has_figure = [any(one.keypoints is not None for one in sample.rendering.instances) for sample in found]
        found = [sample for sample, figure in zip(found, has_figure, strict=True) if figure == (split == 'testA')]
    return {one.file_name: one for one in found}


@pytest.mark.parametrize('split', ['train', 'val', 'testA', 'testB'])
def test_refcoco_dataset_reads_it(toy_root, toy_spec, split):
    dataset, expected = read_refcoco(toy_root, split), samples_of(toy_spec, split)
    assert len(dataset) == len(expected) > 0
    for data in dataset:
        sample = expected[Path(data['img_path']).name]
        assert (data['img'][..., ::-1] == sample.rendering.image).all()
        # mmdet reads `raw` and converts it to lower case; the full stop remains.
        assert data['text'] == [f'{sentence}.' for *_, sentence in sample.references]
        assert len(data['text']) == len(data['gt_masks']) >= 6
        for mask, (index, *_) in zip(data['gt_masks'].masks, sample.references, strict=True):
            assert (mask == (sample.rendering.instance_map == index + 1)).all()


def test_refcoco_sentences_cleaned_and_as_typed(toy_root, toy_spec):
    refs = pickle.loads((toy_root / 'refcoco/refs(unc).p').read_bytes())
    sentences = [sentence for ref in refs for sentence in ref['sentences'] if ref['split'] == 'train']
    texts = [
        text for index in range(toy_spec.num_train) for *_, text in make_sample(toy_spec, 'train', index).references
    ]
    assert [one['sent'] for one in sentences] == [' '.join(one['tokens']) for one in sentences] == texts
    assert all(text.replace(' ', '').isalpha() and text.islower() for text in texts)
    assert [one['raw'] for one in sentences] == [f'T{text[1:]}.' for text in texts]


def test_sentences_by_what_singles_out_their_object(toy_spec, tmp_path):
    write_dataset(tmp_path, replace(toy_spec, formats=('refcoco_kinds',)))
    refs = pickle.loads((tmp_path / 'refcoco_kinds/refs(unc).p').read_bytes())
    found = {(ref['ann_id'], sentence['sent']): ref['split'] for ref in refs for sentence in ref['sentences']}
    expected = {}
    for index in range(toy_spec.num_val):
        sample = make_sample(toy_spec, 'val', index)
        instances = sample.rendering.instances
        for number, expression, sentence in sample.references:
            if part := decisive_part(expression, instances, sample.rendering.image.shape[1]):
                expected[100 * sample.image_id + number, sentence] = part
    assert found == expected and set(found.values()) == {'class', 'colour', 'superlative', 'relation'}
    for (_, text), split in found.items():
        assert bool(re.search('(left|right|front) of|behind|nearer|away', text)) == (split == 'relation')
