import struct
import zlib

import cv2
import numpy as np
import pytest
from mmengine.registry import init_default_scope
from mmseg.registry import TRANSFORMS

import mmdiffperc.seg  # noqa: F401


@pytest.fixture
def loader():
    init_default_scope('mmseg')
    return TRANSFORMS.build(dict(type='LoadImageFromFile'))


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
    with pytest.raises(ValueError, match=r'scene\.jpg: empty, damaged or no image'):
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
    with pytest.raises(ValueError, match=r'bomb\.png: too many pixels'):
        loader(dict(img_path=str(path)))
