import re

import cv2
import numpy as np
import pytest
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmseg.datasets import ADE20KDataset
from PIL import Image

import mmdiffperc.seg  # noqa: F401
from mmdiffperc.seg.semantic.check_labels import occurring_labels

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
    with pytest.raises(ValueError, match=r'scene\.png.*\[148, 149\].*148 classes \(0.*\b147\b'):
        load(LABELS, num_classes=148)


def test_labels_below_the_classes():
    check = Compose([dict(type='mmseg.CheckLabels', num_classes=3)])
    with pytest.raises(ValueError, match=r'map\.png.*\[-1\].*3 classes'):
        check(dict(gt_seg_map=np.array([[0, -1, 255]]), seg_map_path='map.png'))


def test_one_s_own_image_has_no_labels():
    check = Compose([dict(type='mmseg.CheckLabels', num_classes=3)])
    results = dict(img=np.zeros((2, 3, 3), np.uint8))
    assert check(results) is results


def test_another_ignore_index():
    check = Compose([dict(type='mmseg.CheckLabels', num_classes=3, ignore_index=9)])
    results = dict(gt_seg_map=np.array([[0, 9, 2]]), seg_map_path='map.png')
    assert check(results) is results
    with pytest.raises(ValueError, match=r'map\.png.*\[255\]'):
        check(dict(results, gt_seg_map=np.array([[0, 255]])))


def check(labels, **extra):
    results = dict(gt_seg_map=labels, seg_map_path='map.png', img_path='photo.jpg', **extra)
    assert Compose([dict(type='mmseg.CheckLabels', num_classes=3)])(results) is results


@pytest.mark.parametrize('channels', [2, 3, 4])
def test_map_of_several_channels(channels):
    with pytest.raises(ValueError, match=rf'map\.png.*\(4, 6, {channels}\).*photo\.jpg'):
        check(np.zeros((4, 6, channels), np.uint8))


def test_map_of_the_size_of_its_image():
    sizes = dict(ori_shape=(4, 6), img_shape=(8, 12))  # in testing the image is resized before the map is loaded
    check(np.zeros((4, 6), np.uint8), **sizes)
    for other in [(2, 3), (8, 12)]:  # the size of the resized image counts as little as any other
        named = rf'map\.png: .* {re.escape(str(other))} .* \(4, 6\), photo\.jpg\.'
        with pytest.raises(ValueError, match=named) as caught:
            check(np.zeros(other, np.uint8), **sizes)
        assert 'EXIF' not in str(caught.value)


def test_map_drawn_on_the_raw_pixels_of_a_turned_photo(tmp_path):
    """What the message advises brings image and map together."""
    init_default_scope('mmseg')
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    photo, labels = str(tmp_path / 'photo.jpg'), str(tmp_path / 'map.png')
    Image.new('RGB', (6, 4)).save(photo, exif=exif)
    Image.new('L', (6, 4), 1).save(labels)
    rest = [dict(type='LoadAnnotations'), dict(type='CheckLabels', num_classes=2)]
    sample = dict(img_path=photo, seg_map_path=labels, reduce_zero_label=False)
    with pytest.raises(ValueError, match=r'map\.png.*EXIF.*color_ignore_orientation'):
        Compose([dict(type='LoadImageFromFile'), *rest])(dict(sample, seg_fields=[]))
    loader = dict(type='LoadImageFromFile', color_type='color_ignore_orientation')
    results = Compose([loader, *rest])(dict(sample, seg_fields=[]))
    assert results['img'].shape[:2] == results['gt_seg_map'].shape == (4, 6)


@pytest.mark.parametrize(('highest', 'fits'), [(255, True), (256, False), (65535, False)])
@pytest.mark.parametrize('suffix', ['png', 'tif'])
def test_map_of_16_bits(tmp_path, highest, fits, suffix):
    path = tmp_path / f'map.{suffix}'
    Image.fromarray(np.array([[0, highest]], np.uint16)).save(path)
    results = dict(gt_seg_map=np.array([[0, highest % 256]], np.uint8), seg_map_path=str(path), img_path='photo.jpg')
    transform = Compose([dict(type='mmseg.CheckLabels', num_classes=3)])
    if fits:
        assert transform(results) is results
    else:
        with pytest.raises(ValueError, match=rf'map\.{suffix}.*\b0\b.*{highest}.*photo\.jpg'):
            transform(results)


@pytest.mark.parametrize('dtype', [np.uint8, np.int64])
def test_occurring_labels(dtype):
    assert occurring_labels(np.array([[7, 0, 255], [0, 7, 3]], dtype)).tolist() == [0, 3, 7, 255]
