import cv2
import numpy as np
import pytest
from PIL import Image

from mmdiffperc.inference.image_files import read_image


def test_read_image(photos, image):
    np.testing.assert_array_equal(read_image(photos / 'bed.png'), image)
    assert read_image(image) is image


def test_other_pictures_become_colours(tmp_path, image):
    grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
    cv2.imwrite(str(tmp_path / 'grey.png'), grey)
    cv2.imwrite(str(tmp_path / 'deep.png'), image.astype(np.uint16) * 257)
    cv2.imwrite(str(tmp_path / 'alpha.png'), np.dstack([image, grey]))
    np.testing.assert_array_equal(read_image(tmp_path / 'grey.png'), np.dstack([grey] * 3))
    np.testing.assert_array_equal(read_image(tmp_path / 'deep.png'), image)
    np.testing.assert_array_equal(read_image(tmp_path / 'alpha.png'), image)


def test_pil_images(image):
    red_green_blue = Image.fromarray(image[..., ::-1])
    np.testing.assert_array_equal(read_image(red_green_blue), image)
    with_alpha = red_green_blue.copy()
    with_alpha.putalpha(7)
    np.testing.assert_array_equal(read_image(with_alpha), image)
    grey = np.asarray(red_green_blue.convert('L'))
    np.testing.assert_array_equal(read_image(Image.fromarray(grey)), np.dstack([grey] * 3))
    with pytest.raises(ValueError, match='8 bits.*mode'):
        read_image(Image.fromarray(grey.astype(np.uint16)))
    turned = red_green_blue.copy()
    turned.getexif()[0x0112] = 6
    assert read_image(turned).shape == (51, 67, 3)


def test_photograph_is_turned_upright(tmp_path, image):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned to the right
    Image.fromarray(image).save(tmp_path / 'photo.jpg', exif=exif, quality=100)
    assert read_image(tmp_path / 'photo.jpg').shape == (51, 67, 3)


def test_what_is_no_image(photos, image):
    (photos / 'bad.png').write_bytes(b'nothing')
    for name in ('bad.png', 'notes.txt'):
        with pytest.raises(ValueError, match=f'{name}.*empty, damaged'):
            read_image(photos / name)
    with pytest.raises(FileNotFoundError, match='absent.png'):
        read_image(photos / 'absent.png')
    (photos / 'folder.png').mkdir()
    with pytest.raises(IsADirectoryError, match='folder.png'):
        read_image(photos / 'folder.png')
    with pytest.raises(ValueError, match='image'):
        read_image(image[..., 0])
    with pytest.raises(TypeError, match='image'):
        read_image(3)
