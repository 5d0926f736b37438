import pytest

from mmdiffperc.seg.depth.kitti_depth_dataset import parse_depth_split


def test_frames_with_depth():
    content = b'/a.png /b.png\n\nc.png None 721.5\nd.png e.png 721.5\n'
    assert parse_depth_split(content, 'split.txt') == [('a.png', 'b.png'), ('d.png', 'e.png')]


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'a.png b.png\nc.png', r"split\.txt, line 2.*'c\.png'"),
        (b'a.png None 721.5', r'split\.txt'),
        (b'a.png \xff', r'split\.txt'),
    ],
)
def test_bad_split(content, message):
    with pytest.raises(ValueError, match=message):
        parse_depth_split(content, 'split.txt')


@pytest.mark.parametrize('line', ['../a.png b.png', 'a.png c/../../b.png', 'a/.. b.png', f'a.png {"b" * 300}'])
def test_files_outside_of_the_folder(line):
    with pytest.raises(ValueError, match=r'list\.txt, line 2'):
        parse_depth_split(f'a.png b.png\n{line}\n'.encode(), 'list.txt')


def test_byte_order_mark_and_long_lines():
    assert parse_depth_split('\ufeff/a.png b.png'.encode(), 'list.txt') == [('a.png', 'b.png')]
    with pytest.raises(ValueError, match=r'list\.txt, line 1') as error:
        parse_depth_split(b'x' * 100_000, 'list.txt')
    assert len(str(error.value)) < 500
