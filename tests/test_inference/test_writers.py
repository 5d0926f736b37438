import io
import json

import cv2
import numpy as np
import pytest

from mmdiffperc.inference.writers import encode_json, encode_npz, encode_png, video_writer


def decode(content):
    return cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)


def test_png(image):
    np.testing.assert_array_equal(decode(encode_png(image[..., ::-1])), image)
    deep = image[..., 0].astype(np.uint16) * 257
    np.testing.assert_array_equal(decode(encode_png(deep)), deep)


def test_numbers(image):
    arrays = np.load(io.BytesIO(encode_npz(depth=image / 7, other=np.arange(3))))
    np.testing.assert_array_equal(arrays['depth'], image / 7)
    assert arrays['other'].tolist() == [0, 1, 2]
    assert json.loads(encode_json(dict(name='Stühle', boxes=[[1, 2.5]]))) == dict(name='Stühle', boxes=[[1, 2.5]])


def test_video(frames, tmp_path):
    path = tmp_path / 'folder' / 'walk.mp4'
    with video_writer(path, 5) as write:
        for frame in frames:
            write(frame[..., ::-1])
        assert not path.exists()
    capture = cv2.VideoCapture(str(path))
    assert capture.get(cv2.CAP_PROP_FPS) == 5
    for frame in frames:
        assert abs(capture.read()[1].astype(int) - frame).mean() < 5
    assert not capture.read()[0]


def test_video_that_fails_leaves_nothing(frames, tmp_path):
    with pytest.raises(ValueError, match='stop'), video_writer(tmp_path / 'walk.mp4', 5) as write:
        write(frames[0])
        raise ValueError('stop')
    assert not list(tmp_path.iterdir())
