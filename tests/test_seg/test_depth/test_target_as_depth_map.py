import numpy as np

from mmdiffperc.seg import TargetAsDepthMap


def test_unknown_depth_is_zero():
    target = np.array([[1.5, 2.0, 3.0]], np.float64)
    results = TargetAsDepthMap()(dict(gt_target=target, gt_valid=np.array([[1, 0, 1]], np.uint8), img_path='a'))
    assert results['gt_depth_map'].dtype == np.float32 and results['gt_depth_map'].tolist() == [[1.5, 0, 3]]
    assert results['img_path'] == 'a'


def test_image_of_ones_own():
    assert TargetAsDepthMap()(dict(img=3)) == dict(img=3)
