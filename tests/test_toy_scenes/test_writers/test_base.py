import cv2
import numpy as np
import pytest

from mmdiffperc.toy_scenes.writers.base import encode_png, to_uint8


@pytest.mark.parametrize(('dtype', 'shape'), [(np.uint8, (5, 7, 3)), (np.uint8, (5, 7)), (np.uint16, (5, 7))])
def test_png_keeps_every_value(dtype, shape):
    array = np.random.default_rng(0).integers(0, np.iinfo(dtype).max, shape, endpoint=True).astype(dtype)
    read = cv2.imdecode(np.frombuffer(encode_png(array), np.uint8), cv2.IMREAD_UNCHANGED)
    assert read.dtype == dtype and (read[..., ::-1] if read.ndim == 3 else read).tolist() == array.tolist()


def test_quantisation_rounds_and_clips():
    assert to_uint8(np.array([-0.5, 0.0, 0.499, 1.0, 3.0])).tolist() == [0, 0, 127, 255, 255]
