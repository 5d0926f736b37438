import pytest

from mmdiffperc.datasets.depth_split import parse_depth_split


def test_frames_with_depth():
    content = b'/a.png /b.png\n\nc.png None 721.5\nd.png e.png 721.5\n'
    assert parse_depth_split(content, 'split.txt') == [('a.png', 'b.png'), ('d.png', 'e.png')]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'a.png b.png\nc.png', r"split\.txt, line 2: expected .*, got 'c\.png'"),
        (b'a.png None 721.5', r'split\.txt: no line names an image with depth'),
        (b'a.png \xff', r'split\.txt is no text: expected lines "image depth'),
    ],
)
def test_bad_split(content, message):
    with pytest.raises(ValueError, match=message):
        parse_depth_split(content, 'split.txt')
