import warnings

import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import DATASETS
from PIL import Image

import mmdiffperc.seg  # noqa: F401


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.fixture
def build(tmp_path):
    """Write images with label maps that hold some labels each, and build a data set of them."""

    def build(*labels, suffix='.png', prefix=('images', 'labels'), classes=('wall', 'crack'), **options):
        for folder in ('images', 'labels'):
            (tmp_path / folder).mkdir(exist_ok=True)
        for index, row in enumerate(labels):
            Image.new('RGB', (len(row), 2)).save(tmp_path / 'images' / f'{index}{suffix}')
            Image.fromarray(np.array([row, row], np.uint8)).save(tmp_path / 'labels' / f'{index}.png')
        config = dict(type='CheckedSegDataset', data_root=str(tmp_path), metainfo=dict(classes=list(classes)))
        config['data_prefix'] = dict(zip(('img_path', 'seg_map_path'), prefix, strict=False))
        return DATASETS.build(dict(dict(img_suffix='.png'), **config) | options)

    return build


def test_masks_of_0_and_255(build):
    with pytest.raises(ValueError, match=r'0\.png.*\[0, 255\].*label_map=\{255: 1\}'):
        build([0, 255], [255, 255], [0, 0])


def test_what_the_message_advises_works(build):
    pipeline = [dict(type='LoadAnnotations'), dict(type='CheckLabels', num_classes=2)]
    dataset = build([0, 255], [255, 255], label_map={255: 1}, pipeline=pipeline)
    assert [dataset[i]['gt_seg_map'].tolist() for i in range(2)] == [[[0, 1]] * 2, [[1, 1]] * 2]


@pytest.mark.parametrize('labels', [([0, 255], [0, 1]), ([0, 1], [1, 255])])
def test_some_masks_may_be_so(build, labels):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        build(*labels)


def test_class_that_never_occurs(build):
    with pytest.warns(UserWarning, match=r"0\.png.*\b2\b.*3 classes.*'wall', 'door'"):
        build([1, 255], [1, 1], classes=['wall', 'crack', 'door'])


def test_a_single_mask_may_be_so(build):
    with pytest.warns(UserWarning, match=r"\b1\b.*2 classes.*'crack'"):
        build([0, 255])


def test_50_are_judged(build):
    masks = [[0, 255]] * 51
    masks[9] = [0, 1]  # 9.png is the last name
    with pytest.raises(ValueError, match=r'\b49\b'):
        build(*masks)
    masks[50] = [0, 1]
    build(*masks)


def test_zero_that_means_nothing(build):
    """Labels 0 and 1 of the files become 255 and 0."""
    with pytest.warns(UserWarning, match=r"\b1\b.*2 classes.*'crack'"):
        build([0, 1], [1, 1], reduce_zero_label=True)


@pytest.mark.parametrize(('asked', 'there'), [('.jpg', '.png'), ('.PNG', '.png'), ('.png', '.JPG'), ('png', '.jpeg')])
def test_images_of_another_suffix(build, asked, there):
    with pytest.raises(FileNotFoundError, match=rf"images.*img_suffix='{asked}'.*'0{there}'.*'{there}'\?"):
        build([0, 1], suffix=there, img_suffix=asked)


def test_label_maps_of_another_suffix(build):
    with pytest.raises(FileNotFoundError, match=r"\b1\b.*\b1\b.*labels/0\.tif \(seg_map_suffix='\.tif'\).*'\.png'\?"):
        build([0, 1], seg_map_suffix='.tif')


def test_one_label_map_is_missing(build, tmp_path):
    build([0, 1], [1, 0])
    (tmp_path / 'labels' / '1.png').unlink()
    with pytest.raises(FileNotFoundError, match=r"\b1\b.*\b2\b.*labels/1\.png.*'0\.png'"):
        build()


@pytest.mark.parametrize(('prefix', 'named'), [(('image', 'labels'), 'image'), (('images', 'label'), 'label')])
def test_folder_that_does_not_exist(build, prefix, named):
    with pytest.raises(FileNotFoundError, match=rf'/{named}.*data_root.*data_prefix'):
        build([0, 1], prefix=prefix)


def test_empty_folder(build):
    with pytest.raises(FileNotFoundError, match='images'):
        build()


def test_list_of_images(build, tmp_path):
    (tmp_path / 'train.txt').write_text('0\n')
    assert len(build([0, 1], [1, 0], ann_file='train.txt')) == 1
    (tmp_path / 'train.txt').write_text('0\n7\n')
    with pytest.raises(FileNotFoundError, match=r'\b1\b.*\b2\b.*images/7\.png'):
        build(ann_file='train.txt')
    with pytest.raises(FileNotFoundError, match=r'ann_file=.*val\.txt'):
        build(ann_file='val.txt')


def test_damaged_label_map(build, tmp_path):
    build([0, 1])
    (tmp_path / 'labels' / '0.png').write_bytes(b'')
    with pytest.raises(ValueError, match=r'labels/0\.png.*empty'):
        build()


def test_empty_image(build, tmp_path):
    build([0, 1])
    (tmp_path / 'images' / '0.png').write_bytes(b'')
    with pytest.raises(ValueError, match=r'images/0\.png.*empty'):
        build()


def test_images_without_labels(build):
    assert len(build([0, 1], prefix=['images'], test_mode=True)) == 1
