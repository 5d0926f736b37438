import struct
import zlib

import cv2
import numpy as np
import pytest

from mmdiffperc.generative.data.target_files import decode_target
from mmdiffperc.inference.image_files import read_image
from mmdiffperc.inference.image_limits import MOST_PIXELS, check_pixels


def png_header(width, height):
    """A PNG of this size, with nothing in it."""
    header = b'IHDR' + struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    data = b'IDAT' + zlib.compress(b'')
    chunks = [struct.pack('>I', len(part) - 4) + part + struct.pack('>I', zlib.crc32(part)) for part in (header, data)]
    return b'\x89PNG\r\n\x1a\n' + b''.join(chunks)


@pytest.mark.parametrize('size', [(10_001, 10_000), (10_000, 10_001), (40_000, 40_000), (2**31 - 1, 1), (1, 2**20 + 1)])
def test_too_many_pixels(tmp_path, size):
    content, path = png_header(*size), tmp_path / 'bomb.png'
    path.write_bytes(content)
    for read in (
        lambda: check_pixels(content, 'bomb.png'),
        lambda: check_pixels(path, 'bomb.png'),
        lambda: read_image(path),
        lambda: decode_target(content, 'bomb.png'),
    ):
        with pytest.raises(ValueError, match=rf'bomb\.png.*pixels.*{MOST_PIXELS}'):
            read()


def test_usual_images():
    assert check_pixels(png_header(10_000, 10_000), 'a.png')
    for suffix in ('.png', '.jpg', '.bmp', '.tif', '.webp', '.ppm'):
        assert check_pixels(cv2.imencode(suffix, np.ones((5, 7, 3), np.uint8))[1].tobytes(), f'a{suffix}')


@pytest.mark.parametrize('content', [b'', b'no image', png_header(5, 7)[:20]])
def test_unknown_formats(content):
    assert not check_pixels(content, 'a.png')
