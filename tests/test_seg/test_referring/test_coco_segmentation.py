import numpy as np
import pytest
from pycocotools import mask as coco_mask

from mmdiffperc.seg.referring.coco_segmentation import draw_segmentation

HEIGHT, WIDTH = 5, 8


@pytest.fixture
def mask():
    """Not symmetric in any way."""
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[1:3, 2:7] = mask[3, 6] = 1
    return mask


def compressed(mask):
    return coco_mask.encode(np.asfortranarray(mask))


def uncompressed(mask):
    runs = [0]
    for previous, pixel in zip([0, *mask.ravel('F')], mask.ravel('F'), strict=False):
        runs += [0] if pixel != previous else []
        runs[-1] += 1
    return dict(counts=runs, size=[HEIGHT, WIDTH])


def as_text(code):
    return dict(code, counts=code['counts'].decode())


@pytest.mark.parametrize('encode', [uncompressed, compressed, lambda mask: as_text(compressed(mask))])
def test_run_length_codes(mask, encode):
    drawn = draw_segmentation(encode(mask), HEIGHT, WIDTH)
    assert drawn.dtype == np.uint8
    np.testing.assert_array_equal(drawn, mask)
    np.testing.assert_array_equal(draw_segmentation(encode(1 - mask), HEIGHT, WIDTH), 1 - mask)


@pytest.mark.parametrize('density', [0, 0.001, 0.5, 0.999, 1])
def test_compressed_codes_are_read_as_by_pycocotools(density):
    """Long runs, of several digits, and short ones, of negative differences."""
    noise = (np.random.default_rng(0).random((211, 307)) < density).astype(np.uint8)
    np.testing.assert_array_equal(draw_segmentation(compressed(noise), 211, 307), noise)


def test_polygons_are_united():
    """Two rectangles that overlap in columns 3 and 4."""
    polygons = [[1, 1, 5, 1, 5, 3, 1, 3], [3, 0, 7, 0, 7, 5, 3, 5]]
    expected = np.zeros((HEIGHT, WIDTH))
    expected[1:3, 1:5] = expected[:, 3:7] = 1
    np.testing.assert_array_equal(draw_segmentation(polygons, HEIGHT, WIDTH), expected)


def test_polygons_without_area_do_not_count():
    triangle = [1, 1, 6, 1, 6, 4]
    drawn = draw_segmentation([[0, 0, 7, 4], triangle, [], [2, 2]], HEIGHT, WIDTH)
    assert drawn.sum() > 5
    np.testing.assert_array_equal(drawn, draw_segmentation([triangle], HEIGHT, WIDTH))


def test_polygon_that_sticks_out():
    """Of a triangle that is larger than the image, the image is a part."""
    drawn = draw_segmentation([[-900, -10, 900, -10, 4, 999.5]], HEIGHT, WIDTH)
    np.testing.assert_array_equal(drawn, np.ones((HEIGHT, WIDTH)))


@pytest.mark.parametrize(
    'segmentation',
    [
        None,
        'polygons',
        [],
        [None],
        [1, 1, 6, 1, 6, 4],
        [[[1, 1], [6, 1], [6, 4]]],
        [[1, 1, 6, 1, 6, 4, 3]],
        [[1, 1, 6, 1, 6, '4']],
        [[1, 1, 6, 1, 6, None]],
        [[1, 1, 6, 1, 6, True]],
        [[1, 1, 6, 1, 6, float('nan')]],
        [[1, 1, 6, 1, 6, float('inf')]],
        [[1, 1, 6, 1, 6, 4e8]],
        [[1, 1, 6, 1, 6, -(10**400)]],
        [[-9e5, 0, 9e5, 0, 0, 4]],
        [[-200, 0, 200, 0, -200, 1, 200, 1] * 2000],
    ],
)
def test_polygons_that_pycocotools_cannot_draw(segmentation):
    with pytest.raises(ValueError, match='polygons'):
        draw_segmentation(segmentation, HEIGHT, WIDTH)


@pytest.mark.parametrize(
    ('counts', 'message'),
    [
        (None, 'None'),
        (40, '40'),
        ([3.0, 37.0], '3.0'),
        ([39, True], 'True'),
        (['3', 37], "'3'"),
        ([-3, 43], '-3'),
        ([10**30], 'list'),
        ([3, 4], r'40 pixels.*\b7\b'),
        ([3, 38], r'40 pixels.*\b41\b'),
        ([], r'\b0\b'),
        ('', "''"),
        (b'3', r'40 pixels.*\b3\b'),
        ('38', r'40 pixels.*\b11\b'),
        ('30O', r'\b0\b.*40 pixels.*-1.*\b3\b'),
        ('oooooo0', r'\b0\b.*40 pixels.*1073741823.*1073741823'),
        ('3X', "'3X'"),  # another digit would follow
        ('3' + 'P' * 7 + '0', 'P'),  # more digits than any run has
        ('3 ', "'3 '"),
        ('3\0', '3'),
        ('3é', 'é'),
        ('3\ud800', 'ud800'),
    ],
)
def test_run_length_codes_that_do_not_fill_the_image(counts, message):
    with pytest.raises(ValueError, match=message):
        draw_segmentation(dict(counts=counts, size=[HEIGHT, WIDTH]), HEIGHT, WIDTH)


@pytest.mark.parametrize('code', [dict(counts=[40], size=[8, 5]), dict(counts=[40]), dict(counts=[40], size='5x8'), {}])
def test_codes_of_another_size(code):
    with pytest.raises(ValueError, match=r'\[5, 8\]'):
        draw_segmentation(code, HEIGHT, WIDTH)
