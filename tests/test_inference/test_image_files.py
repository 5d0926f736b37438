import cv2
import numpy as np
import pytest
from PIL import Image

from mmdiffperc.inference.image_files import read_captions, read_image


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


def test_captions_of_text_and_of_jsonl(tmp_path):
    (tmp_path / 'a.txt').write_text('a box\n\n two boxes \n')
    (tmp_path / 'a.jsonl').write_text('{"text": "a box", "keyword": "box"}\n')
    assert read_captions(tmp_path / 'a.txt') == ['a box', 'two boxes']
    assert read_captions(tmp_path / 'a.txt', 2) == ['a box', 'two boxes']
    with pytest.raises(ValueError, match=r'a\.txt.*\b3\b.*\b2\b'):
        read_captions(tmp_path / 'a.txt', 3)
    assert read_captions(tmp_path / 'a.jsonl') == ['a box']
    for content in ('', 'a box', '{}', '{"text": 3}'):
        (tmp_path / 'bad.jsonl').write_text(content)
        with pytest.raises(ValueError, match=r'bad\.jsonl'):
            read_captions(tmp_path / 'bad.jsonl')


def test_captions_with_a_byte_order_mark(tmp_path):
    (tmp_path / 'a.txt').write_text('a box\n', encoding='utf-8-sig')
    (tmp_path / 'a.jsonl').write_text('{"text": "a box"}\n', encoding='utf-8-sig')
    for name in ('a.txt', 'a.jsonl'):
        assert read_captions(tmp_path / name) == ['a box']


@pytest.mark.parametrize('content', [b'\xff\xfe', b'[' * 100_000, b'{"text": ' + b'[' * 400 + b']' * 400 + b'}'])
def test_captions_that_cannot_be_read(tmp_path, content):
    (tmp_path / 'bad.jsonl').write_bytes(content)
    with pytest.raises(ValueError, match=r'bad\.jsonl') as error:
        read_captions(tmp_path / 'bad.jsonl')
    assert len(str(error.value)) < 500
