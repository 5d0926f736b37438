"""Mapillary's label maps arrive as Cityscapes' train ids."""

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.datasets import CityscapesDataset, MapillaryDataset_v1

from mmdiffperc.seg.semantic.mapillary_as_cityscapes import SOURCES, MapillaryAsCityscapesDataset

MAPILLARY = MapillaryDataset_v1.METAINFO['classes']


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.fixture
def dataset(tmp_path):
    for folder, suffix in (('images', 'jpg'), ('labels', 'png')):
        (tmp_path / folder).mkdir()
        shape = (11, 6, 3) if folder == 'images' else (11, 6)
        pixels = np.arange(np.prod(shape), dtype=np.uint8).reshape(shape)  # labels: each of the 66 once
        cv2.imwrite(str(tmp_path / folder / f'scene.{suffix}'), pixels)
    return MapillaryAsCityscapesDataset(
        data_root=str(tmp_path),
        data_prefix=dict(img_path='images', seg_map_path='labels'),
        pipeline=[dict(type='LoadImageFromFile'), dict(type='LoadAnnotations'), dict(type='PackSegInputs')],
    )


def test_every_label_becomes_its_train_id(dataset):
    ids = dataset[0]['data_samples'].gt_sem_seg.data.flatten().tolist()
    expected = {'Road': 0, 'Curb': 1, 'Building': 2, 'Utility Pole': 5, 'Bicyclist': 12, 'On Rails': 16, 'Bicycle': 18}
    assert {name: ids[MAPILLARY.index(name)] for name in expected} == expected
    assert {ids[MAPILLARY.index(name)] for name in ('Water', 'Bike Lane', 'Street Light', 'Unlabeled')} == {255}
    assert set(ids) == {*range(19), 255} and ids.count(255) == 41


def test_the_classes_are_cityscapes(dataset):
    assert dataset.metainfo['classes'] == CityscapesDataset.METAINFO['classes'] == tuple(SOURCES)


def test_every_source_is_a_class_of_mapillary_and_stands_once():
    sources = [name for names in SOURCES.values() for name in names]
    assert set(sources) <= set(MAPILLARY) and len(set(sources)) == len(sources)


def test_other_classes_are_refused(tmp_path):
    with pytest.raises(ValueError, match=r"'road', 'car'"):
        MapillaryAsCityscapesDataset(data_root=str(tmp_path), metainfo=dict(classes=('road', 'car')))
