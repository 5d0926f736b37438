import warnings

import numpy as np
import pytest
from mmengine.dataset import Compose
from mmengine.registry import init_default_scope

import mmdiffperc.seg.depth_transforms  # noqa: F401


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


def frame(depth, height=5, width=8, **extra):
    image = np.arange(height * width * 3, dtype=np.uint8).reshape(height, width, 3)
    names = dict(img_path='image.png', depth_map_path='depth.png', seg_fields=['gt_depth_map'])
    names['ori_shape'] = height, width
    return dict(img=image, gt_depth_map=np.asarray(depth, np.float32), **names, **extra)


def transform(results, **config):
    return Compose([config])(results)


def test_bottom_and_middle():
    depth = np.arange(40).reshape(5, 8)
    before = frame(depth)
    after = transform(dict(before), type='KBCrop', size=(3, 5))
    np.testing.assert_array_equal(after['gt_depth_map'], depth[2:, 1:6])
    np.testing.assert_array_equal(after['img'], before['img'][2:, 1:6])
    assert after['img_shape'] == after['ori_shape'] == (3, 5)


def test_crop_of_one_key():
    """The image was cropped and doubled before."""
    after = transform(frame(np.arange(20).reshape(4, 5), 6, 8), type='KBCrop', size=(3, 4), keys=['gt_depth_map'])
    np.testing.assert_array_equal(after['gt_depth_map'], np.arange(20).reshape(4, 5)[1:, :4])
    assert after['img'].shape == (6, 8, 3)
    assert (after['img_shape'], after['ori_shape']) == ((6, 8), (3, 4))


@pytest.mark.parametrize('size', [(6, 8), (5, 9)])
def test_image_too_small_for_the_crop(size):
    with pytest.raises(ValueError, match=rf'image\.png: 5 x 8 is too small for a crop of {size[0]} x {size[1]}'):
        transform(frame(np.ones((5, 8))), type='KBCrop', size=size)


@pytest.mark.parametrize('shape', [(8, 5), (5, 8, 3), (10, 16)])
def test_depth_of_another_size(shape):
    with pytest.raises(ValueError, match=r'depth\.png: depth map of shape .* for an image of \(5, 8\)'):
        transform(frame(np.ones(shape)), type='CheckDepth', max_depth=10)


def test_depth_drawn_on_the_raw_pixels_of_a_turned_photo():
    with pytest.raises(ValueError, match='EXIF.*color_ignore_orientation'):
        transform(frame(np.ones((8, 5))), type='CheckDepth', max_depth=10)


def test_depth_of_an_image_that_has_been_resized():
    """As mmseg does in testing, before the depth map is loaded."""
    results = frame(np.ones((5, 8))) | dict(img=np.zeros((10, 16, 3), np.uint8), img_shape=(10, 16))
    assert transform(results, type='CheckDepth', max_depth=10) is results
    results['gt_depth_map'] = np.ones((10, 16))
    with pytest.raises(ValueError, match=r'depth map of shape \(10, 16\) for an image of \(5, 8\)'):
        transform(results, type='CheckDepth', max_depth=10)


# Metres of a room and of a street.
ROOM, STREET = np.linspace(0.9, 7.5, 40).reshape(5, 8), np.linspace(4, 75, 40).reshape(5, 8)


@pytest.mark.parametrize(
    ('metres', 'units', 'loaded_with', 'max_depth', 'likely'),
    [
        (ROOM, 1000, 1.0, 10, '0.001, for millimetres'),
        (ROOM, 5000, 1.0, 10, "0.0002, for TUM's 0.2 mm"),
        (STREET, 256, 1.0, 80, "0.00390625, for KITTI's 1/256 m"),
        # Already divided by ten: the whole factor is named.
        (ROOM, 10000, 0.1, 10, '0.0001, for millimetres'),
        (ROOM, 1e6, 1.0, 10, 'none of the usual ones'),
    ],
)
def test_wrong_unit(metres, units, loaded_with, max_depth, likely):
    depth = metres * units * loaded_with
    depth[0, 0] = 0  # not measured
    check = Compose([dict(type='CheckDepth', max_depth=max_depth)])
    results = frame(depth, depth_rescale_factor=loaded_with)
    with pytest.warns(UserWarning, match=rf'depth\.png: all depth lies beyond max_depth = {max_depth}.*{likely}$'):
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
        (with_value(ROOM, 10, 65.535), 1e-3, r'25\.00% .* 65535 .* 65\.535 m'),
        (with_value(ROOM, 1, 1e4), 1.0, r'2\.50% .* 10000 '),
        (with_value(ROOM, 5, np.linspace(11, 12, 5)), 1.0, r'12% .* max_depth = 10, up to 12\.'),
    ],
    ids=['8 bits', '8 bits as 1/256 m', '65535', '1e4', 'beyond the range'],
)
def test_depth_in_doubt(depth, factor, named):
    with pytest.warns(UserWarning, match=rf'depth\.png: .*{named}'):
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
    ],
    ids=['room', 'nothing measured', 'a tenth beyond', 'infinite', 'NaN', 'close up, in metres'],
)
def test_nothing_to_warn_of(depth):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter('always')
        transform(frame(depth), type='CheckDepth', max_depth=10)
    assert not caught


def test_own_image_has_no_depth():
    results = dict(img=np.zeros((5, 8, 3), np.uint8))
    assert transform(results, type='CheckDepth', max_depth=10) is results
