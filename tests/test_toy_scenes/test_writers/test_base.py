import numpy as np

from mmdiffperc.toy_scenes.writers.base import to_uint8


def test_quantisation_rounds_and_clips():
    assert to_uint8(np.array([-0.5, 0.0, 0.499, 1.0, 3.0])).tolist() == [0, 0, 127, 255, 255]
