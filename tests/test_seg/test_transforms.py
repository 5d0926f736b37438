import cv2
import numpy as np
import pytest
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmseg.datasets import ADE20KDataset

import mmdiffperc.seg  # noqa: F401

LABELS = np.array([[0, 1, 2, 3], [150, 7, 0, 149]], np.uint8)


@pytest.fixture
def load(tmp_path):
    """Load the labels of a file as ADE20K's training pipeline does."""
    init_default_scope('mmseg')

    def load(labels, num_classes):
        folders = [tmp_path / 'images', tmp_path / 'labels']
        for folder in folders:
            folder.mkdir()
        cv2.imwrite(str(folders[0] / 'scene.jpg'), np.zeros((*labels.shape, 3), np.uint8))
        cv2.imwrite(str(folders[1] / 'scene.png'), labels)
        pipeline = [
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', reduce_zero_label=True),
            dict(type='CheckLabels', num_classes=num_classes),
        ]
        prefix = dict(img_path='images', seg_map_path='labels')
        return ADE20KDataset(data_root=str(tmp_path), data_prefix=prefix, pipeline=pipeline)[0]

    return load


def test_labels_of_the_classes_pass(load):
    expected = np.array([[255, 0, 1, 2], [149, 6, 255, 148]])
    np.testing.assert_array_equal(load(LABELS, num_classes=150)['gt_seg_map'], expected)


def test_labels_beyond_the_classes(load):
    with pytest.raises(ValueError, match=r'scene\.png: labels \[148, 149\], but there are 148 classes \(0 to 147'):
        load(LABELS, num_classes=148)


def test_labels_below_the_classes():
    check = Compose([dict(type='mmseg.CheckLabels', num_classes=3)])
    with pytest.raises(ValueError, match=r'map\.png: labels \[-1\], but there are 3 classes'):
        check(dict(gt_seg_map=np.array([[0, -1, 255]]), seg_map_path='map.png'))


def test_one_s_own_image_has_no_labels():
    check = Compose([dict(type='mmseg.CheckLabels', num_classes=3)])
    results = dict(img=np.zeros((2, 3, 3), np.uint8))
    assert check(results) is results


def test_another_ignore_index():
    check = Compose([dict(type='mmseg.CheckLabels', num_classes=3, ignore_index=9)])
    results = dict(gt_seg_map=np.array([[0, 9, 2]]), seg_map_path='map.png')
    assert check(results) is results
    with pytest.raises(ValueError, match=r'map\.png: labels \[255\]'):
        check(dict(results, gt_seg_map=np.array([[0, 255]])))
