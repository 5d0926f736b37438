import pytest

from mmdiffperc.datasets.depth_split import parse_depth_split


def test_frames_with_depth():
    text = '/a.png /b.png\n\nc.png None 721.5\nd.png e.png 721.5\n'
    assert parse_depth_split(text, 'split.txt') == [('a.png', 'b.png'), ('d.png', 'e.png')]


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('a.png b.png\nc.png', r"split\.txt, line 2: expected .*, got 'c\.png'"),
        ('a.png None 721.5', r'split\.txt: no line names an image with depth'),
    ],
)
def test_bad_split(text, message):
    with pytest.raises(ValueError, match=message):
        parse_depth_split(text, 'split.txt')
