import json
from pathlib import Path

import numpy as np
import pytest
from mmdet.datasets import CocoDataset as DetectionDataset
from mmpose.datasets.datasets import CocoDataset as PoseDataset
from pycocotools import mask as coco_mask

from mmdiffperc.toy_scenes.writers import make_sample
from mmdiffperc.toy_scenes.writers.coco import COCO_CLASSES, run_lengths


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
        data_root=str(toy_root),
        ann_file='coco/annotations/instances_val.json',
        data_prefix=dict(img='images/val/'),
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
        data_root=str(toy_root),
        ann_file='coco/annotations/person_keypoints_val.json',
        data_prefix=dict(img='images/val/'),
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
