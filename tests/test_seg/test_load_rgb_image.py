import struct
import zlib

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import TRANSFORMS
from PIL import Image

import mmdiffperc.seg  # noqa: F401
from mmdiffperc.inference.image_files import read_image


@pytest.fixture
def loader():
    init_default_scope('mmseg')
    return TRANSFORMS.build(dict(type='LoadRGBImageFromFile'))


def test_loads_as_mmcv_does(loader, tmp_path):
    image = np.random.default_rng(0).integers(0, 255, (5, 7, 3), np.uint8)
    cv2.imwrite(str(tmp_path / 'image.png'), image)
    results = loader(dict(img_path=str(tmp_path / 'image.png')))
    np.testing.assert_array_equal(results['img'], image)
    assert results['ori_shape'] == (5, 7)


@pytest.mark.parametrize('content', [b'', b'<html>'])
def test_names_the_file_without_an_image(loader, tmp_path, content):
    path = tmp_path / 'scene.jpg'
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'scene\.jpg.*empty, damaged'):
        loader(dict(img_path=str(path)))


def test_a_missing_file_stays_a_missing_file(loader, tmp_path):
    with pytest.raises(FileNotFoundError, match='absent'):
        loader(dict(img_path=str(tmp_path / 'absent.png')))


def test_too_many_pixels(loader, tmp_path):
    """A header that declares 20,000 x 15,000 pixels."""
    path = tmp_path / 'bomb.png'
    content = bytearray(cv2.imencode('.png', np.zeros((5, 7), np.uint8))[1].tobytes())
    content[16:24] = struct.pack('>II', 20_000, 15_000)
    content[29:33] = struct.pack('>I', zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r'bomb\.png.*pixels'):
        loader(dict(img_path=str(path)))


def write_pictures(folder):
    """The same picture, or its red channel, in every kind of file that people have; returns what each must become."""
    image = cv2.resize(np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8), (28, 20))  # BGR
    red = image[..., 2].copy()
    grey = np.dstack([red] * 3)
    palette = Image.fromarray(red // 64).convert('L')
    palette.putpalette([0, 0, 0, 255, 0, 0, 0, 255, 0, 9, 8, 7])
    colours = np.array([[0, 0, 0], [0, 0, 255], [0, 255, 0], [7, 8, 9]], np.uint8)
    cv2.imwrite(str(folder / 'rgba.png'), np.dstack([image, red]))
    cv2.imwrite(str(folder / 'grey.png'), red)
    cv2.imwrite(str(folder / 'rgb16.png'), image.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / 'rgb16.tif'), image.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / 'grey16.png'), red.astype(np.uint16) * 257)
    cv2.imwrite(str(folder / '12bits.png'), image.astype(np.uint16) * 16)
    Image.fromarray(np.dstack([red, red]), 'LA').save(folder / 'la.png')
    Image.fromarray(image[..., ::-1]).convert('CMYK').save(folder / 'cmyk.tif')
    palette.save(folder / 'palette.png')
    (folder / 'as.png').write_bytes((folder / 'cmyk.tif').read_bytes())
    coloured = dict.fromkeys(['rgba.png', 'rgb16.png', 'rgb16.tif', 'cmyk.tif', 'as.png'], image)
    grey = dict.fromkeys(['grey.png', 'grey16.png', 'la.png'], grey)
    return coloured | grey | {'palette.png': colours[red // 64], '12bits.png': image // 16}


@pytest.mark.parametrize('load', ['mmseg', 'read_image'])
def test_every_picture_becomes_rgb(loader, tmp_path, load):
    for name, expected in write_pictures(tmp_path).items():
        path = str(tmp_path / name)
        found = loader(dict(img_path=path))['img'] if load == 'mmseg' else read_image(path)
        np.testing.assert_array_equal(found, expected, name)


@pytest.mark.parametrize('load', ['mmseg', 'read_image'])
def test_what_cannot_become_rgb_is_named(loader, tmp_path, load):
    """OpenCV silently changes the first picture."""
    cv2.imwrite(str(tmp_path / 'float.tif'), np.random.default_rng(0).random((5, 7, 3), np.float32))
    cv2.imwrite(str(tmp_path / 'depth.tif'), np.random.default_rng(0).random((5, 7), np.float32))
    np.save(tmp_path / 'array.npy', np.zeros((5, 7, 3), np.uint8))
    for name in ('float.tif', 'depth.tif', 'array.npy'):
        path = str(tmp_path / name)
        with pytest.raises(ValueError, match=rf'{name}.*\b8\b.*16 bits'):
            loader(dict(img_path=path)) if load == 'mmseg' else read_image(path)


@pytest.mark.parametrize(
    ('options', 'name', 'found'),
    [
        (dict(color_type='unchanged'), 'rgba.png', r'\(20, 28, 4\).*uint8'),
        (dict(color_type='unchanged'), 'rgb16.png', r'\(20, 28, 3\).*uint16'),
        (dict(color_type='grayscale'), 'rgba.png', r'\(20, 28\).*uint8'),
        (dict(color_type='unchanged', to_float32=True), 'grey.png', r'\(20, 28\).*float32'),
    ],
)
def test_settings_that_keep_other_channels(loader, tmp_path, options, name, found):
    write_pictures(tmp_path)
    loader = TRANSFORMS.build(dict(type='LoadRGBImageFromFile', **options))
    with pytest.raises(ValueError, match=f'{name}.*{found}.*RGB'):
        loader(dict(img_path=str(tmp_path / name)))


def test_settings_that_keep_rgb(loader, tmp_path):
    expected = write_pictures(tmp_path)['rgba.png']
    for options in (dict(to_float32=True), dict(color_type='color_ignore_orientation')):
        loader = TRANSFORMS.build(dict(type='LoadRGBImageFromFile', **options))
        np.testing.assert_array_equal(loader(dict(img_path=str(tmp_path / 'rgba.png')))['img'], expected)
