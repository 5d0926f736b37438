import os

import cv2
import numpy as np
import pytest

from mmdiffperc.generative import TargetCodec
from mmdiffperc.generative.prediction_files import prediction_files, to_picture, write_prediction


def test_colours(tmp_path):
    target = np.random.default_rng(0).random((4, 5, 3), np.float32)
    write_prediction(target, tmp_path / 'new' / 'a.b', TargetCodec())
    picture, array = prediction_files(tmp_path / 'new' / 'a.b')
    assert sorted(os.listdir(tmp_path / 'new')) == [array.name, picture.name] == ['a.b.npz', 'a.b.png']
    stored = np.load(array)['x']
    assert stored.dtype == np.float32
    np.testing.assert_array_equal(stored, target)
    seen = cv2.imread(str(picture), cv2.IMREAD_UNCHANGED)
    assert seen.dtype == np.uint8
    np.testing.assert_allclose(seen[..., ::-1] / 255, target, atol=0.5 / 255 + 1e-6)


@pytest.mark.parametrize(('scale', 'white'), [(8.0, 8), ('per_image', 1)])
def test_one_channel(tmp_path, scale, white):
    target = np.array([[0, 0.25, 1.5], [0.5, 1, 0]], np.float32) * white
    write_prediction(target, tmp_path / 'depth', TargetCodec('F', scale))
    np.testing.assert_array_equal(np.load(tmp_path / 'depth.npz')['x'], target)
    seen = cv2.imread(str(tmp_path / 'depth.png'), cv2.IMREAD_UNCHANGED)
    assert seen.dtype == np.uint16
    assert seen.tolist() == [[0, 16384, 65535], [32768, 65535, 0]]


def test_eight_bits_of_colours_are_rounded():
    target = np.full((1, 1, 3), 0.4 / 255, np.float32)
    assert to_picture(target, TargetCodec()).tolist() == [[[0, 0, 0]]]
    assert to_picture(target * 1.5, TargetCodec()).tolist() == [[[1, 1, 1]]]
