import warnings

import cv2
import numpy as np
import pytest
from depth_frames import frame, transform
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope
from mmseg.datasets.transforms import LoadDepthAnnotation
from mmseg.registry import DATASETS
from PIL import ExifTags, Image

import mmdiffperc.seg  # noqa: F401
from mmdiffperc.seg import LoadRGBImageFromFile
from mmdiffperc.seg.depth.depth_check import CheckDepth, find_fault, judge_depth


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


@pytest.mark.parametrize('shape', [(8, 5), (5, 8, 3), (10, 16)])
def test_depth_of_another_size(shape):
    with pytest.raises(ValueError, match=r'depth\.png.*\(5, 8\)'):
        transform(frame(np.ones(shape)), type='CheckDepth', max_depth=10)


def test_depth_drawn_on_the_raw_pixels_of_a_turned_photo():
    with pytest.raises(ValueError, match='EXIF.*color_ignore_orientation'):
        transform(frame(np.ones((8, 5))), type='CheckDepth', max_depth=10)


def test_depth_of_an_image_that_has_been_resized():
    """As mmseg does in testing, before the depth map is loaded."""
    results = frame(np.ones((5, 8))) | dict(img=np.zeros((10, 16, 3), np.uint8), img_shape=(10, 16))
    assert transform(results, type='CheckDepth', max_depth=10) is results
    results['gt_depth_map'] = np.ones((10, 16))
    with pytest.raises(ValueError, match=r'\(10, 16\).*\(5, 8\)'):
        transform(results, type='CheckDepth', max_depth=10)


# Metres of a room and of a street.
ROOM, STREET = np.linspace(0.9, 7.5, 40).reshape(5, 8), np.linspace(4, 75, 40).reshape(5, 8)


@pytest.mark.parametrize(
    ('metres', 'units', 'loaded_with', 'max_depth', 'likely'),
    [
        (ROOM, 1000, 1.0, 10, '0.001.*millimetres'),
        (ROOM, 5000, 1.0, 10, "0.0002.*TUM's 0.2"),
        (STREET, 256, 1.0, 80, "0.00390625.*KITTI's 1/256"),
        # Loaded with another factor: the whole factor is named.
        (ROOM, 10000, 0.1, 10, '0.0001.*0.1'),
        (ROOM, 1e6, 1.0, 10, 'none'),
    ],
)
def test_wrong_unit(metres, units, loaded_with, max_depth, likely):
    depth = metres * units * loaded_with
    depth[0, 0] = 0  # not measured
    check = Compose([dict(type='CheckDepth', max_depth=max_depth)])
    results = frame(depth, depth_rescale_factor=loaded_with)
    with pytest.warns(UserWarning, match=rf'depth\.png.*image\.png.*max_depth = {max_depth}.*{likely}'):
        assert check(results) is results
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        check(results)


def with_value(depth, number, value):
    """Put a value into the first pixels."""
    changed = depth.copy()
    changed.flat[:number] = value
    return changed


@pytest.mark.parametrize(
    ('depth', 'factor', 'named'),
    [
        # 255 is 10 m, loaded as millimetres: 40 pixels up to 0.191 m
        ((ROOM / 10 * 255).astype(np.uint8) * 1e-3, 1e-3, r'255.*0\.001.*0\.0392157'),
        (np.full((5, 8), 255) / 256, 1 / 256, r'255.*0\.00390625.*0\.0392157'),
        (with_value(ROOM, 10, 65.535), 1e-3, r'25\.00%.*65535.*65\.535'),
        (with_value(ROOM, 1, 1e4), 1.0, r'2\.50%.*10000'),
        (with_value(ROOM, 5, np.linspace(11, 12, 5)), 1.0, r'12%.*max_depth = 10.*\b12\b'),
        (with_value(with_value(ROOM, 4, 11), 2, 65.535), 1e-3, r'5\.00%.*65535.*65\.535'),
        # Millimetres loaded as metres, where 65535 does not count for the unit.
        (with_value(ROOM * 1000, 9, 65535), 1.0, r'0\.001.*millimetres'),
    ],
    ids=['8 bits', '8 bits as 1/256 m', '65535', '1e4', 'beyond the range', '65535 and others beyond', 'both'],
)
def test_depth_in_doubt(depth, factor, named):
    with pytest.warns(UserWarning, match=rf'depth\.png.*image\.png.*{named}'):
        transform(frame(depth, depth_rescale_factor=factor), type='CheckDepth', max_depth=10)


@pytest.mark.parametrize(
    'depth',
    [
        ROOM,
        np.zeros((5, 8)),
        with_value(ROOM, 4, np.linspace(11, 12, 4)),
        with_value(ROOM, 9, np.inf),
        with_value(ROOM, 9, np.nan),
        ROOM / 100,
        np.linspace(0, 255, 40).reshape(5, 8) * 0.0392157,  # as advised for 8 bits: 255 is a little more than 10 m
    ],
    ids=['room', 'nothing measured', 'a tenth beyond', 'infinite', 'NaN', 'close up, in metres', '8 bits'],
)
def test_nothing_to_warn_of(depth):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        transform(frame(depth), type='CheckDepth', max_depth=10)
    assert not caught


def test_own_image_has_no_depth():
    results = dict(img=np.zeros((5, 8, 3), np.uint8))
    assert transform(results, type='CheckDepth', max_depth=10) is results


def test_each_kind_of_doubt_is_a_warning_of_its_own():
    check = Compose([dict(type='CheckDepth', max_depth=10)])
    marked, beyond = with_value(ROOM, 10, 65.535), with_value(ROOM, 5, np.linspace(11, 12, 5))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        for depth in (marked, beyond, marked, beyond):
            check(frame(depth))
    assert len(caught) == 2


@pytest.fixture
def judge(tmp_path):
    """Judge files with these numbers, loaded with a factor, for a range of 10 m by default."""

    def judge(*maps, factor=1e-3, max_depth=10):
        paths = [str(tmp_path / f'{number}.png') for number in range(len(maps))]
        for path, numbers in zip(paths, maps, strict=True):
            cv2.imwrite(path, numbers)
        check = [CheckDepth(max_depth=max_depth)] if max_depth else []
        judge_depth(
            [dict(depth_map_path=path) for path in paths], [LoadDepthAnnotation(depth_rescale_factor=factor), *check]
        )

    return judge


CHECK = CheckDepth(max_depth=10)
MILLIMETRES, BYTES = (ROOM * 1000).astype(np.uint16), (ROOM / 10 * 255).astype(np.uint8)
NEAR = BYTES.astype(np.uint16)  # up to 191 mm
MARKED = np.where(ROOM < 2, 65535, MILLIMETRES).astype(np.uint16)  # 7 of 40 pixels


@pytest.mark.parametrize(
    ('maps', 'factor', 'named'),
    [
        ((BYTES, BYTES), 1e-3, r'255.*0\.0392157'),
        ((NEAR, NEAR), 1e-3, r'255.*0\.0392157'),
        ((BYTES, MILLIMETRES), 1e-3, r'\b1\b.*8 bits.*0\.png'),
        ((MARKED, MILLIMETRES), 1e-3, r'8\.75%.*65535.*\b0\b'),
        ((MILLIMETRES, MILLIMETRES), 1.0, '0.001.*millimetres'),
        ((MILLIMETRES + 4000, MILLIMETRES), 1e-3, r'11%.*max_depth = 10'),  # 9 of 80 pixels are beyond
    ],
    ids=['8 bits', 'small numbers', '8 and 16 bits', '65535', 'unit', 'range'],
)
def test_what_is_wrong_with_all_maps_is_an_error(judge, maps, factor, named):
    with pytest.raises(ValueError, match=rf'0\.png.*\b1\b.*{named}'):
        judge(*maps, factor=factor)


def test_no_depth_at_all(judge):
    for maps in ([MILLIMETRES * 0], [MILLIMETRES * 0] * 2):
        with pytest.raises(ValueError, match=r'0\.png.*pixel'):
            judge(*maps)


def test_depth_map_in_colour(judge):
    with pytest.raises(ValueError, match=r'0\.png.*\(5, 8, 3\)'):
        judge(np.stack([MILLIMETRES] * 3, -1), MILLIMETRES)


@pytest.mark.parametrize(('max_depth', 'named'), [(2, r'0\.00784314.*\b2\b'), (None, r'0\.0392157.*\b10\b')])
def test_8_bits_of_a_short_or_unknown_range(judge, max_depth, named):
    """Numbers up to 191 are 0.191 m, not within a tenth of 2 m, but in files of 8 bits that is too little."""
    with pytest.raises(ValueError, match=rf'\b255\b.*0\.255.*0\.001.*{named}'):
        judge(BYTES, BYTES, max_depth=max_depth)
    judge(NEAR, NEAR, max_depth=2)
    judge(BYTES, BYTES, factor=0.00784314, max_depth=max_depth)


def test_mark_where_the_range_is_unknown(judge):
    with pytest.raises(ValueError, match=r'8\.75%.*65535.*\b0\b'):
        judge(MARKED, MILLIMETRES, max_depth=None)
    judge(MILLIMETRES, MILLIMETRES, factor=1.0, max_depth=None)


@pytest.mark.parametrize('orientation', [1, 3, 6])
@pytest.mark.parametrize('colour', ['color', 'color_ignore_orientation'])
def test_images_that_are_turned_in_place(tmp_path, orientation, colour):
    """An image of 8 x 8 with its depth, which has no orientation."""
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.new('RGB', (8, 8)).save(tmp_path / '0.jpg', exif=exif)
    cv2.imwrite(str(tmp_path / '0.png'), np.full((8, 8), 2345, np.uint16))
    sample = dict(img_path=str(tmp_path / '0.jpg'), depth_map_path=str(tmp_path / '0.png'))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        judge_depth([sample], [LoadRGBImageFromFile(color_type=colour), LoadDepthAnnotation(depth_rescale_factor=1e-3)])
    texts = [str(one.message) for one in caught if 'EXIF' in str(one.message)]
    assert len(texts) == (orientation > 1 and colour == 'color')
    assert all('0.jpg' in text and "type='LoadRGBImageFromFile', color_type='color_ignore" in text for text in texts)


def test_what_may_be_right(judge):
    judge(MILLIMETRES, MILLIMETRES)
    judge(BYTES)  # a single map
    judge(NEAR, MILLIMETRES)  # one is near, or another scene
    judge(BYTES, BYTES, factor=0.0392157)  # what the message advises
    judge(BYTES, BYTES * 0, MILLIMETRES * 0, factor=0.0392157)  # nothing was measured in two of them
    judge(BYTES * 0, MILLIMETRES, MILLIMETRES)  # the bits of a map without depth do not matter
    judge(np.where(MARKED == 65535, 0, MARKED), MILLIMETRES)
    judge(with_value(MILLIMETRES, 4, np.arange(11000, 11004)), MILLIMETRES)  # 4 of 80 pixels are beyond


def test_damaged_map(judge, tmp_path):
    judge(MILLIMETRES, MILLIMETRES)
    (tmp_path / '1.png').write_bytes(b'no image')
    samples = [dict(depth_map_path=str(tmp_path / name)) for name in ('0.png', '1.png')]
    with pytest.raises(ValueError, match=r'1\.png.*empty, damaged'):
        judge_depth(samples, [LoadDepthAnnotation(), CHECK])
    judge_depth(samples, [CHECK])  # nothing loads the maps


def test_data_set_judges_its_maps(tmp_path):
    for folder in ('images', 'annotations'):
        (tmp_path / folder).mkdir()
    for name in ('kitchen_1', 'office_2'):
        cv2.imwrite(str(tmp_path / f'images/{name}.png'), np.zeros((5, 8, 3), np.uint8))
        cv2.imwrite(str(tmp_path / f'annotations/{name}.png'), BYTES)
    pipeline = [dict(type='LoadDepthAnnotation', depth_rescale_factor=1e-3), dict(type='CheckDepth', max_depth=10)]
    options = dict(type='CheckedNYUDataset', data_root=str(tmp_path), img_suffix='.png', pipeline=pipeline)
    with pytest.raises(ValueError, match=r'kitchen_1\.png.*\b1\b.*\b255\b'):
        DATASETS.build(options)
    (tmp_path / 'annotations/office_2.png').rename(tmp_path / 'annotations/office_2.tif')
    with pytest.raises(FileNotFoundError, match=r"office_2\.png.*depth_map_suffix='\.png'"):
        DATASETS.build(options)
    assert len(DATASETS.build(options | dict(pipeline=[]))) == 2  # images alone, for prediction


MM = 1e-3
DEPTHS = np.linspace(0.9, 7.5, 100)


def find(numbers, factor=MM, **options):
    """Depth as it is loaded, from numbers in a file."""
    return find_fault(np.asarray(numbers, np.float32) * np.float32(factor), factor, **options)


def replaced(numbers, *values):
    """The numbers, with the first ones exchanged."""
    return np.r_[values, numbers[len(values) :]]


@pytest.mark.parametrize('number', [65535, 65534, 32767])
@pytest.mark.parametrize('max_depth', [10, 80, 200, np.inf])
def test_marks_of_16_bits_within_any_range(number, max_depth):
    """5 of 100 pixels, in millimetres: 32.767 or 65.535 m lie within 80 m."""
    fault = find(replaced(DEPTHS / MM, *[number] * 5), max_depth=max_depth)
    assert fault.kind == 'mark' and '5.00%' in fault.text and str(number) in fault.text


def test_two_marks():
    fault = find(replaced(DEPTHS / MM, 65534, 65535, 65535), max_depth=10)
    assert fault.kind == 'mark' and all(text in fault.text for text in ('3.00%', '65535', '65534'))


def test_nothing_but_a_mark():
    fault = find([65535] * 9, max_depth=10)
    assert fault.kind == 'mark' and '100.00%' in fault.text and 'rescale' not in fault.text


def test_mark_that_was_mixed_with_depth():
    """4 pixels kept the mark, and 20 lie between it and the depth around."""
    mixed = replaced(DEPTHS / MM, *[65535] * 4, *np.linspace(12000, 64000, 20))
    assert find(mixed, max_depth=10).kind == 'mark'
    fault = find(mixed[4:], max_depth=10)  # 20 of 96
    assert fault.kind == 'range' and '21%' in fault.text and 'resize' in fault.text


def test_a_few_pixels_of_the_highest_number_are_no_mark():
    assert find(np.r_[np.tile(DEPTHS / MM, 20), 65535], max_depth=80) is None


@pytest.mark.parametrize(
    ('metres', 'unit', 'loaded_with', 'max_depth', 'likely'),
    [
        (np.linspace(2, 60, 101), MM, 1 / 256, 80, '0.001'),  # 20.5 m become 80 m: 68 % are beyond
        (DEPTHS, 2e-4, MM, 10, '0.0002'),
        (np.linspace(2, 60, 101), 1 / 256, 2e-2, 80, '0.00390625'),
    ],
)
def test_more_than_half_beyond_the_range_tells_the_unit(metres, unit, loaded_with, max_depth, likely):
    fault = find(metres / unit, loaded_with, max_depth=max_depth)
    assert fault.kind == 'range' and likely in fault.text


@pytest.mark.parametrize(('number_beyond', 'kind'), [(10, None), (11, 'range')])
def test_share_beyond_the_range(number_beyond, kind):
    fault = find(replaced(DEPTHS / MM, *range(12000, 12000 + number_beyond)), max_depth=10)
    assert getattr(fault, 'kind', None) == kind
    assert not fault or 'likely' not in fault.text


@pytest.mark.parametrize(
    ('factor', 'max_depth', 'has_8_bits', 'kind'),
    [
        (MM, 2, True, 'bits'),  # 255 is 0.255 m
        (MM, 2, False, None),
        (MM, 1, True, None),  # 0.255 m is more than a quarter of it
        (MM, 2.6, False, 'bits'),
        (2 / 255, 2, True, None),
        (MM, np.inf, True, 'bits'),
        (1 / 255, np.inf, True, None),  # up to one metre
    ],
)
def test_few_bits(factor, max_depth, has_8_bits, kind):
    fault = find(np.arange(1, 256), factor, max_depth=max_depth, has_8_bits=has_8_bits)
    assert getattr(fault, 'kind', None) == kind


def test_nothing_measured():
    assert find([], max_depth=10) is None
