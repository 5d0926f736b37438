import pytest

from mmdiffperc.datasets.metadata import metadata_line, read_metadata


def test_round_trip(tmp_path):
    path = tmp_path / 'metadata.jsonl'
    path.write_text(metadata_line('a.png', 'eine Kugel, größer') + '\n' + metadata_line('b/c.jpg', ['one', 'two']))
    assert read_metadata(path) == [('a.png', ['eine Kugel, größer']), ('b/c.jpg', ['one', 'two'])]


@pytest.mark.parametrize('line', ['{"file_name": "a.png"}', '{"file_name": "a.png", "text": null}'])
def test_without_caption(tmp_path, line):
    (tmp_path / 'm.jsonl').write_text(line)
    assert read_metadata(tmp_path / 'm.jsonl') == [('a.png', [])]


@pytest.mark.parametrize(
    'line',
    [
        'a.png', '[]', '"a.png"', '{"text": "a box"}', '{"file_name": 3}', '{"file_name": "a", "text": 3}',
        '{"file_name": "a", "text": ["a box", 3]}', '{"file_name": "a", "text": {"en": "a box"}}',
    ],
)  # fmt: skip
def test_bad_line_is_named(tmp_path, line):
    (tmp_path / 'm.jsonl').write_text(metadata_line('a.png', 'a box') + line)
    with pytest.raises(ValueError, match='m.jsonl, line 2: expected {"file_name": "a.png", "text": "a caption"}, got'):
        read_metadata(tmp_path / 'm.jsonl')


def test_no_text(tmp_path):
    (tmp_path / 'm.jsonl').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ValueError, match='m.jsonl, line 1'):
        read_metadata(tmp_path / 'm.jsonl')


def test_empty_or_missing(tmp_path):
    (tmp_path / 'm.jsonl').write_text('\n')
    with pytest.raises(ValueError, match='m.jsonl is empty'):
        read_metadata(tmp_path / 'm.jsonl')
    with pytest.raises(FileNotFoundError, match='n.jsonl: no such file; it has a line for each image'):
        read_metadata(tmp_path / 'n.jsonl')
