import io
import struct
import zipfile

import cv2
import numpy as np
import pytest

from mmdiffperc.generative.data import target_files
from mmdiffperc.generative.data.target_files import decode_target
from mmdiffperc.inference.writers import encode_npz, encode_png


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
    for written in (encode_npz(x=target), content.getvalue(), single.getvalue(), named.getvalue()):
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
    whole = encode_npz(x=np.random.default_rng(0).random((20, 30)))
    flipped = whole[:400] + bytes([whole[400] ^ 255]) + whole[401:]
    for content in (whole[:100], flipped, b'\x93NUMPY'):
        with pytest.raises(ValueError, match='some.npz.*damaged'):
            decode_target(content, 'some.npz')


def test_other_arrays():
    with pytest.raises(ValueError, match=r'some.npz.*\(4,\)'):
        decode_target(encode_npz(x=np.ones(4)), 'some.npz')


MAP = np.linspace(-3, 9, 35, dtype=np.float32).reshape(5, 7)


def npy(array):
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def npy_of_header(header, follow=b'', version=b'\x01\x00'):
    """An npy file whose header says what it likes."""
    size = struct.pack('<H' if version == b'\x01\x00' else '<I', len(header))
    return b'\x93NUMPY' + version + size + header.encode() + follow


def npz(compression=zipfile.ZIP_DEFLATED, **members):
    content = io.BytesIO()
    with zipfile.ZipFile(content, 'w', compression) as archive:
        for name, member in members.items():
            archive.writestr(f'{name}.npy', member)
    return content.getvalue()


@pytest.mark.parametrize('array', [MAP, MAP.T, MAP > 0, MAP.astype('>i2'), MAP.astype(np.float16)[..., None]])
def test_arrays_of_numbers(array):
    for content in (npy(array), npz(x=npy(array)), npz(other=npy(array))):
        decoded = decode_target(content, 'a')
        assert decoded.dtype == array.dtype
        np.testing.assert_array_equal(decoded, array)


@pytest.mark.parametrize('array', [np.array([[print]]), np.array(['far']), np.ones(2, 'f4,i4'), np.ones(2, complex)])
def test_other_types_are_refused(array):
    for content in (npy(array), npz(x=npy(array))):
        with pytest.raises(ValueError, match='some.npz'):
            decode_target(content, 'some.npz')


@pytest.mark.parametrize('shape', [(10**6, 10**6), (10**4000, 1), (9, 7), (-5, -7), (4, 7)])
def test_headers_that_promise_another_array(shape):
    """The header is held to the bytes that follow it; nothing is allocated for a promise."""
    array = npy_of_header(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}}}\n", MAP.tobytes())
    for content in (array, npz(x=array)):
        with pytest.raises(ValueError, match='some.npz'):
            decode_target(content, 'some.npz')


def test_deep_header():
    for header in ('(' * 9000, '-' * 9000 + '1'):
        with pytest.raises(ValueError, match='some.npy'):
            decode_target(npy_of_header(header), 'some.npy')


def test_members_that_unpack_to_too_much(monkeypatch):
    """4 MB of zeros are 4 kB of zip; with a smaller limit they are too many."""
    monkeypatch.setattr(target_files, 'MOST_BYTES', 3_900_000)
    content = npz(x=npy(np.zeros((1000, 1000), np.float32)))
    assert len(content) < 10_000
    with pytest.raises(ValueError, match='4000128 bytes.*3900000'):
        decode_target(content, 'some.npz')
    # A header that pretends to be longer than any, version 2.
    endless = npz(x=npy_of_header('', version=b'\x02\x00')[:8] + struct.pack('<I', 10**7) + bytes(10**7))
    with pytest.raises(ValueError, match='3900000'):
        decode_target(endless, 'some.npz')


def test_size_that_lies():
    """The directory of the zip says 100 bytes, so no more are unpacked."""
    content = bytearray(npz(x=npy(np.zeros((1000, 1000), np.float32))))
    directory = content.rindex(b'PK\x01\x02')
    content[directory + 24 : directory + 28] = struct.pack('<I', 100)
    with pytest.raises(ValueError, match='some.npz.*damaged'):
        decode_target(bytes(content), 'some.npz')


def test_other_compression():
    with pytest.raises(ValueError, match=r'\b14\b'):
        decode_target(npz(zipfile.ZIP_LZMA, x=npy(MAP)), 'some.npz')
