import importlib
import re
import warnings

import numpy as np
import pytest
from mmcv.transforms import LoadImageFromFile
from mmengine.registry import init_default_scope
from PIL import ExifTags, Image

from mmdiffperc.coco import CocoImage, check_images, warn_of_boxes_beyond

STORED, TURNED = (6, 10), (10, 6)  # (height, width)


@pytest.fixture
def save(tmp_path):
    """Save an image of 6 x 10 with an EXIF orientation; returns its path."""

    def save(name='a.jpg', orientation=1, size=STORED):
        exif = Image.Exif()
        exif[ExifTags.Base.Orientation] = orientation
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(tmp_path / name, exif=exif)
        return str(tmp_path / name)

    return save


def passes(path, size, *transforms):
    try:
        check_images([CocoImage(path, 3, size)], 'people.json', '', transforms)
    except ValueError as error:
        assert 'people.json: image 3 ' in str(error) and path in str(error)
        return False
    return True


@pytest.mark.parametrize('backend', ['cv2', 'pillow'])
@pytest.mark.parametrize('colour', ['color', 'grayscale', 'unchanged', 'color_ignore_orientation'])
@pytest.mark.parametrize('orientation', [1, 3, 6, 8])
@pytest.mark.parametrize('suffix', ['jpg', 'png'])
def test_size_that_passes_is_the_size_as_loaded(save, backend, colour, orientation, suffix):
    path = save(f'a.{suffix}', orientation)
    loader = LoadImageFromFile(imdecode_backend=backend, color_type=colour)
    loaded = loader(dict(img_path=path))['ori_shape']
    assert [passes(path, size, loader) for size in (STORED, TURNED)] == [loaded == STORED, loaded == TURNED]


def test_either_size_without_a_loader(save):
    path = save(orientation=6)
    assert passes(path, STORED) and passes(path, TURNED) and not passes(path, (12, 20))


def test_tiff_is_always_turned(save):
    path = save('a.tif', orientation=6)
    assert LoadImageFromFile()(dict(img_path=path))['ori_shape'] == TURNED
    assert passes(path, TURNED, LoadImageFromFile()) and not passes(path, STORED, LoadImageFromFile())


@pytest.mark.parametrize(
    ('size', 'orientation', 'colour', 'advice'),
    [
        (STORED, 6, 'color', "dict(type='LoadImageFromFile', color_type='color_ignore_orientation')"),
        (TURNED, 6, 'color_ignore_orientation', "LoadImageFromFile with color_type='color_ignore_orientation'"),
        (TURNED, 1, 'color', 'resized or turned'),
        ((12, 20), 1, 'color', 'height 6 and width 10'),
    ],
)
def test_advice(save, size, orientation, colour, advice):
    image = CocoImage(save(orientation=orientation), 3, size)
    with pytest.raises(ValueError) as caught:
        check_images([image], 'people.json', '', [LoadImageFromFile(color_type=colour)])
    assert advice in str(caught.value) and f'height {size[0]} and width {size[1]}' in str(caught.value)


@pytest.mark.parametrize('scope', ['mmseg', 'mmdet', 'mmpose'])
def test_advised_loader_can_be_built(save, scope):
    """Also where the name of the class is not the name in the registry."""
    registry = importlib.import_module(f'{scope}.registry').TRANSFORMS
    importlib.import_module(dict(mmseg='mmdiffperc.seg').get(scope, f'{scope}.datasets'))
    init_default_scope(scope)
    loader = registry.build(dict(type='LoadImage' if scope == 'mmpose' else 'LoadImageFromFile'))
    path = save(orientation=6)
    with pytest.raises(ValueError) as caught:
        check_images([CocoImage(path, 3, STORED)], 'people.json', '', [loader])
    advised = eval(re.search(r'dict\(.*?\)', str(caught.value))[0])
    loaded = registry.build(advised)(dict(img_path=path))
    assert loaded['img'].shape[:2] == STORED


def turned_images(save, orientation, others=(), size=STORED, **options):
    """The warnings about an image of this orientation and others, each with the size as loaded."""
    loader = LoadImageFromFile(**options)
    paths = [save(f'{index}.jpg', one, size) for index, one in enumerate([orientation, *others])]
    images = [CocoImage(path, 3, loader(dict(img_path=path))['ori_shape']) for path in paths]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        check_images(images, 'people.json', '', [loader])
    return [str(one.message) for one in caught]


@pytest.mark.parametrize(
    ('orientation', 'size'), [(2, STORED), (3, STORED), (4, STORED), *((number, (8, 8)) for number in range(2, 9))]
)
def test_images_that_are_turned_in_place(save, orientation, size):
    (text,) = turned_images(save, orientation, [1, 1], size)
    assert 'people.json' in text and '0.jpg' in text and f'orientation {orientation} ' in text
    assert "dict(type='LoadImageFromFile', color_type='color_ignore_orientation')" in text and '1 of the 3' in text


def test_images_whose_pixels_stay_or_are_known_to_be_upright(save):
    assert not turned_images(save, 1)
    assert not turned_images(save, 3, color_type='color_ignore_orientation')
    assert not turned_images(save, 6)
    assert not turned_images(save, 3, [6])  # the size of the second shows what was annotated
    assert not turned_images(save, 0)  # no orientation of EXIF


def test_images_are_spread_over_the_data_set(save):
    """Of 120 images 50 are looked at: numbers 0, 2, 4, 7, 9, 12, ..., 117."""
    right = CocoImage(save(), 0, STORED)
    images = [right._replace(number=number, size=STORED if number < 60 else TURNED) for number in range(120)]
    with pytest.raises(ValueError, match=r'image 60.*\b25\b.*\b50\b'):
        check_images(images, 'people.json', '')


def test_what_is_not_looked_at(tmp_path):
    (tmp_path / 'a.png').write_text('no image')
    check_images([CocoImage(str(tmp_path / 'a.png'), 1, STORED), CocoImage('s3://b.png', 2, STORED)], 'a.json', '')
    check_images([], 'a.json', '')
    elsewhere = LoadImageFromFile(backend_args=dict(backend='lmdb', db_path='images.lmdb'))
    check_images([CocoImage('key', 1, STORED)], 'a.json', '', [elsewhere])


def test_missing_image(save, tmp_path):
    save('a.jpg')
    with pytest.raises(FileNotFoundError, match=r"b\.png, image 3.*people\.json.*'\.jpg'\?"):
        check_images([CocoImage(str(tmp_path / 'b.png'), 3, STORED)], 'people.json', str(tmp_path))


INSIDE, BEYOND = (2, 1, 10, 6), (2, 1, 12, 7)  # x1, y1, x2, y2 in an image of 6 x 10


@pytest.mark.parametrize(
    ('boxes', 'expected'),
    [
        ([INSIDE] * 8 + [BEYOND], '1 of the 9 '),
        ([INSIDE] * 9 + [BEYOND], None),
        ([(-1, -1, 11, 7)], None),  # rounded
        ([(-2, 0, 5, 5)], '1 of the 1 '),
    ],
)
def test_boxes_beyond_their_images(boxes, expected):
    with warnings.catch_warnings(record=True) as caught:
        warn_of_boxes_beyond(boxes, [STORED] * len(boxes), 'people.json')
    texts = [str(one.message) for one in caught]
    assert len(texts) == (expected is not None)
    assert all(expected in text and 'people.json' in text and 'width' in text for text in texts)
