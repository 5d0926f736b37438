import numpy as np
import pytest

from mmdiffperc.inference import TolerantReader


@pytest.fixture
def bad(photos):
    """Files that only look like images: cut short, text, and empty."""
    content = (photos / 'bed.png').read_bytes()
    files = {'cut.png': content[: len(content) // 2], 'text.png': b'a note', 'empty.png': b''}
    for name, content in files.items():
        (photos / name).write_bytes(content)
    return [photos / name for name in files]


def test_others_are_read(photos, image, bad):
    absent = photos / 'absent.png'
    with pytest.raises(ValueError, match=r'\b4\b.*\b6\b') as error, TolerantReader() as read:
        assert read(bad[0]) is None
        np.testing.assert_array_equal(read(photos / 'bed.png'), image)
        assert [read(path) for path in (*bad[1:], absent)] == [None] * 3
        assert read(photos / 'door.JPG').shape == (45, 51, 3)
    _, *others = str(error.value).splitlines()
    assert all(str(path) in line for path, line in zip((*bad, absent), others, strict=True))


def test_single_file(bad):
    with pytest.raises(ValueError, match=f'^{bad[0]}'), TolerantReader() as read:
        read(bad[0])


def test_nothing_to_report(photos, image):
    with TolerantReader() as read:
        np.testing.assert_array_equal(read(photos / 'bed.png'), image)


def test_other_errors_pass(photos, bad):
    """An error of the reader is not blamed on the file; it stops the loop and reaches the user."""
    with pytest.raises(TypeError), TolerantReader(lambda path: path + 1) as read:
        read(bad[0])
    with pytest.raises(KeyboardInterrupt), TolerantReader() as read:
        read(bad[0])
        raise KeyboardInterrupt
