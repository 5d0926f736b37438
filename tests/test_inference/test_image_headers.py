import pytest
from mmcv.transforms import LoadImageFromFile
from PIL import Image

from mmdiffperc.inference.image_headers import read_header

TURNING, RAW = LoadImageFromFile(), LoadImageFromFile(color_type='color_ignore_orientation')


def save(path, orientation, size=(6, 4)):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.new('RGB', size).save(path, exif=exif)
    return read_header(path)


@pytest.mark.parametrize('orientation', range(1, 9))
@pytest.mark.parametrize('suffix', ['jpg', 'png'])
@pytest.mark.parametrize('loader', [TURNING, RAW])
def test_size_is_that_of_the_loaded_image(tmp_path, orientation, suffix, loader):
    path = tmp_path / f'a.{suffix}'
    header = save(path, orientation)
    assert header.sizes(loader) == [loader(dict(img_path=str(path)))['ori_shape']]
    assert header.is_turned_in_place(loader) == (loader is TURNING and orientation in (2, 3, 4))


@pytest.mark.parametrize('orientation', range(1, 9))
def test_square_image(tmp_path, orientation):
    header = save(tmp_path / 'a.jpg', orientation, size=(4, 4))
    assert header.is_turned_in_place(TURNING) == header.is_turned_in_place(None) == (orientation > 1)


def test_either_size_will_do(tmp_path):
    """The readers disagree about the format, or nobody says who reads it."""
    assert save(tmp_path / 'a.webp', 6).sizes(TURNING) == [(4, 6), (6, 4)]
    assert save(tmp_path / 'a.jpg', 6).sizes(None) == [(4, 6), (6, 4)]


def test_no_image_and_no_orientation(tmp_path):
    (tmp_path / 'a.jpg').write_bytes(b'no image')
    assert read_header(tmp_path / 'a.jpg') is None
    assert save(tmp_path / 'a.png', 99).orientation == 1
