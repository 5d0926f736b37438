import io
import json

import cv2
import numpy as np

from mmdiffperc.inference.writers import encode_json, encode_npz, encode_png


def decode(content):
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_png(image):
    np.testing.assert_array_equal(decode(encode_png(image[..., ::-1])), image)
    for grey in (image[..., 0], image[..., 0].astype(np.uint16) * 257):
        np.testing.assert_array_equal(decode(encode_png(grey)), grey, strict=True)


def test_numbers(image):
    arrays = np.load(io.BytesIO(encode_npz(depth=image / 7, other=np.arange(3))))
    np.testing.assert_array_equal(arrays['depth'], image / 7)
    assert arrays['other'].tolist() == [0, 1, 2]
    assert json.loads(encode_json(dict(name='Stühle', boxes=[[1, 2.5]]))) == dict(name='Stühle', boxes=[[1, 2.5]])
