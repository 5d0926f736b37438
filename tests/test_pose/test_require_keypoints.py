import numpy as np
import pytest
from mmpose.registry import TRANSFORMS

from mmdiffperc.pose import RequireKeypoints


@pytest.mark.parametrize('number', [0, 2, 3, 5])
def test_too_few_keypoints(number):
    weights = np.zeros((1, 5), np.float32)
    weights[0, :number] = 1.5
    results = dict(keypoint_weights=weights)
    found = TRANSFORMS.build(dict(type='RequireKeypoints', min_keypoints=3))(results)
    assert found is (results if number >= 3 else None)


def test_three_of_seventeen_by_default():
    assert RequireKeypoints().min_keypoints == 3


def test_it_comes_after_the_target():
    with pytest.raises(KeyError, match='keypoint_weights.*GenerateTarget'):
        RequireKeypoints()(dict(img=np.zeros((2, 2, 3))))
