import re
import warnings

import cv2
import numpy as np
import pytest
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmseg.datasets import ADE20KDataset, BaseSegDataset
from PIL import Image

import mmdiffperc.seg  # noqa: F401
from mmdiffperc.seg import CheckedSegDataset
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


LOAD = [dict(type='LoadImageFromFile'), dict(type='LoadAnnotations')]
RAW = dict(type='LoadImageFromFile', color_type='color_ignore_orientation')


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.fixture
def build(tmp_path):
    """Write photos with label maps, and build a data set that has no CheckLabels."""

    def build(*maps, size=(6, 4), orientation=1, dataset=BaseSegDataset, classes=('wall', 'crack'), **options):
        for folder in ('images', 'labels'):
            (tmp_path / folder).mkdir(exist_ok=True)
        exif = Image.Exif()
        exif[0x0112] = orientation
        for index, labels in enumerate(maps):
            Image.new('RGB', size).save(tmp_path / 'images' / f'{index}.jpg', exif=exif)
            Image.fromarray(labels).save(tmp_path / 'labels' / f'{index}.png')
        prefix = dict(img_path='images', seg_map_path='labels')
        defaults = dict(metainfo=dict(classes=list(classes)), pipeline=LOAD)
        return dataset(data_root=str(tmp_path), data_prefix=prefix, **defaults | options)

    return build


def mask(*labels, height=4, width=6, dtype=np.uint8):
    return np.resize(np.array(labels, dtype), (height, width))


BAD, GOOD, EMPTY = mask(0, 255), mask(0, 1), mask(0)


@pytest.mark.parametrize(
    'maps',
    [
        [BAD] * 4 + [GOOD],
        [BAD] * 2 + [GOOD] * 2,
        [BAD] * 2 + [mask(255, 1)],
        [BAD] * 40 + [GOOD] * 3,
        [EMPTY] * 5 + [BAD] * 3 + [GOOD],
    ],
)
def test_most_masks_of_0_and_255(build, maps):
    num_bad = sum(one is BAD for one in maps)
    with pytest.warns(UserWarning, match=rf'0\.png.*{len(maps) - 1}.*{num_bad}.*label_map=\{{255: 1\}}'):
        build(*maps)


@pytest.mark.parametrize('maps', [[BAD, GOOD], [BAD] * 2 + [GOOD] * 3, [GOOD, GOOD]])
def test_fewer_masks_may_be_so(build, maps):
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        build(*maps)


def test_masks_without_any_crack_beside_those_of_0_and_255(build):
    with pytest.raises(ValueError, match=r'\[0, 255\]'):
        build(EMPTY, EMPTY, EMPTY, BAD, BAD)


def test_one_border_among_masks_without_any_crack(build):
    with pytest.warns(UserWarning, match='crack'):
        build(EMPTY, EMPTY, EMPTY, BAD)


def test_zero_that_means_nothing(build):
    with pytest.raises(ValueError, match=r'reduce_zero_label=False, label_map=\{255: 1\}.*CheckedSegDataset'):
        build(BAD, BAD, reduce_zero_label=True, dataset=CheckedSegDataset)
    dataset = build(reduce_zero_label=False, label_map={255: 1}, dataset=CheckedSegDataset)
    assert set(np.unique(dataset[0]['gt_seg_map'])) == {0, 1}  # as the message advises


def test_advice_for_a_data_set_that_has_no_label_map(build):
    with pytest.raises(ValueError, match=r"BaseSegDataset.*label_map.*type='CheckedSegDataset'"):
        build(BAD, BAD)


@pytest.mark.parametrize('classes', [['crack'], ['wall', 'crack']])
def test_binary_head(build, classes):
    """Labels 0 and 1 may have one name only."""
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        build(GOOD, GOOD, classes=classes)


def test_one_class(build):
    with pytest.warns(UserWarning, match=r'\[0, 255\]'):
        build(BAD, BAD, classes=['crack'])


def test_labels_that_no_class_has(build):
    with pytest.warns(UserWarning, match=r'7, 254.*\b0\b.*1\b'):
        build(mask(0, 1, 7), mask(1, 254, 255))


def test_many_classes(build):
    """Of 11 classes one may be rare, but not all but one."""
    classes = [str(number) for number in range(11)]
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        build(mask(0, 1), mask(1, 0), classes=classes)
    with pytest.warns(UserWarning, match=r"\b10\b.*11 classes \('1', .* and 2 more\)"):
        build(mask(0), mask(0), classes=classes)


def test_check_labels_does_its_work_later(build):
    """An error of one map then comes when the map is used."""
    dataset = build(np.stack([GOOD] * 3, -1), GOOD, pipeline=[*LOAD, dict(type='CheckLabels', num_classes=2)])
    with pytest.raises(ValueError, match=r'labels/0\.png.*\(4, 6, 3\)'):
        dataset[0]


@pytest.mark.parametrize('channels', [2, 3, 4])
def test_map_of_several_channels_without_check_labels(build, channels):
    with pytest.raises(ValueError, match=rf'labels/0\.png.*\(4, 6, {channels}\).*images/0\.jpg'):
        build(np.stack([GOOD] * channels, -1), GOOD)


def test_map_of_16_bits_without_check_labels(build):
    with pytest.raises(ValueError, match=r'labels/1\.png.*\b0\b.*\b256\b.*images/1\.jpg'):
        build(GOOD, mask(0, 256, dtype=np.uint16))


@pytest.mark.parametrize('shape', [(2, 3), (8, 12), (3, 6)])
def test_map_of_another_size(build, shape):
    with pytest.raises(ValueError, match=r'labels/0\.png.*\(4, 6\).*images/0\.jpg'):
        build(np.resize(GOOD, shape))


@pytest.mark.parametrize('orientation', [5, 6, 7, 8])
def test_photo_that_exif_turns(build, orientation):
    with pytest.raises(ValueError, match=r'labels/0\.png.*EXIF.*color_ignore_orientation'):
        build(GOOD, GOOD, orientation=orientation)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        build(pipeline=[RAW, LOAD[1]])
        build(np.resize(GOOD, (6, 4)), np.resize(GOOD, (6, 4)), orientation=orientation)


@pytest.mark.parametrize(
    ('orientation', 'size'), [(2, (6, 4)), (3, (6, 4)), (4, (6, 4)), *((n, (4, 4)) for n in (5, 6, 7, 8))]
)
def test_photo_that_exif_turns_unseen(build, orientation, size):
    """The map may be right, but mmseg does not turn it with its image."""
    maps = [mask(0, 1, width=size[0])] * 2
    with pytest.warns(
        UserWarning, match=rf'images/0\.jpg.*EXIF orientation {orientation}.*labels/0\.png.*\b2\b'
    ) as caught:
        build(*maps, orientation=orientation, size=size)
    assert len(caught) == 1
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        build(pipeline=[RAW, LOAD[1]])
        build(*maps, size=size)


@pytest.mark.parametrize('backend', ['pillow', 'cv2'])
def test_damaged_map(build, tmp_path, backend):
    build(GOOD, GOOD)
    (tmp_path / 'labels' / '1.png').write_bytes(b'no image')
    with pytest.raises(ValueError, match=r'labels/1\.png.*empty, damaged'):
        build(pipeline=[LOAD[0], dict(type='LoadAnnotations', imdecode_backend=backend)])


def test_label_map_is_applied(build):
    """As mmseg does: to all labels at once."""
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        build(mask(0, 7), mask(7, 0), dataset=CheckedSegDataset, label_map={7: 0, 0: 1})
