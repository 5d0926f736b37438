import io

import cv2
import numpy as np
import pytest

from mmdiffperc.generative.target_files import decode_target, encode_npz
from mmdiffperc.inference.writers import encode_png


@pytest.mark.parametrize('dtype', [np.uint8, np.uint16])
@pytest.mark.parametrize('shape', [(5, 7), (5, 7, 3)])
def test_png(dtype, shape):
    target = np.random.default_rng(0).integers(np.iinfo(dtype).max, size=shape, dtype=dtype)
    decoded = decode_target(encode_png(target), 'a.png')
    assert decoded.dtype == dtype and (decoded == target).all()


def test_npz_and_npy():
    target = np.linspace(-3, 9, 35, dtype=np.float32).reshape(5, 7)
    content = io.BytesIO()
    np.save(content, target)
    single = io.BytesIO()
    np.savez(single, depth=target)
    named = io.BytesIO()
    np.savez(named, other=target[:2], x=target)
    for written in (encode_npz(target), content.getvalue(), single.getvalue(), named.getvalue()):
        decoded = decode_target(written, 'a')
        assert decoded.dtype == np.float32 and (decoded == target).all()


def test_transparency_stays_a_channel():
    content = cv2.imencode('.png', np.full((5, 7, 4), (1, 2, 3, 4), np.uint8))[1].tobytes()
    assert decode_target(content, 'a.png')[0, 0].tolist() == [3, 2, 1, 4]


def test_several_arrays():
    content = io.BytesIO()
    np.savez(content, near=np.ones((2, 3)), far=np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"a.npz.*'x'.*\['far', 'near'\]"):
        decode_target(content.getvalue(), 'a.npz')


@pytest.mark.parametrize('content', [b'', b'no image', encode_png(np.ones((9, 9), np.uint8))[:30]])
def test_no_image(content):
    with pytest.raises(ValueError, match=f'some.png.*{len(content)} bytes'):
        decode_target(content, 'some.png')


def test_damaged_arrays():
    whole = encode_npz(np.random.default_rng(0).random((20, 30)))
    flipped = whole[:400] + bytes([whole[400] ^ 255]) + whole[401:]
    for content in (whole[:100], flipped, b'\x93NUMPY'):
        with pytest.raises(ValueError, match='some.npz.*damaged'):
            decode_target(content, 'some.npz')


def test_other_arrays():
    with pytest.raises(ValueError, match=r'some.npz.*\(4,\)'):
        decode_target(encode_npz(np.ones(4)), 'some.npz')
