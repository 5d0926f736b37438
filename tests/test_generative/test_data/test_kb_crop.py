import numpy as np
import pytest
from depth_frames import frame, transform
from mmengine.registry import init_default_scope


@pytest.fixture(autouse=True)
def scope():
    init_default_scope('mmseg')


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
    with pytest.raises(ValueError, match=rf'image\.png.*5 x 8.*{size[0]} x {size[1]}'):
        transform(frame(np.ones((5, 8))), type='KBCrop', size=size)
