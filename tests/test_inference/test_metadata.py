import json
import re

import pytest
from logs import heard

from mmdiffperc.inference.metadata import list_images, metadata_line, read_metadata


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
    with pytest.raises(ValueError, match='m.jsonl, line 2.*{"file_name": "a.png", "text": "a caption"}'):
        read_metadata(tmp_path / 'm.jsonl')


def test_no_text(tmp_path):
    (tmp_path / 'm.jsonl').write_bytes(b'\xff\xfe\x00')
    with pytest.raises(ValueError, match='m.jsonl, line 1'):
        read_metadata(tmp_path / 'm.jsonl')


def test_empty_or_missing(tmp_path):
    (tmp_path / 'm.jsonl').write_text('\n')
    with pytest.raises(ValueError, match='m.jsonl'):
        read_metadata(tmp_path / 'm.jsonl')
    with pytest.raises(FileNotFoundError, match='n.jsonl'):
        read_metadata(tmp_path / 'n.jsonl')


@pytest.mark.parametrize(
    'name', ['../a.png', 'b/../../a.png', '/etc/a.png', '', '.', 'a\0.png', '\ud800.png', 'a' * 256, 'a/' * 600]
)
def test_names_that_are_not_below_the_folder(tmp_path, name):
    (tmp_path / 'm.jsonl').write_text(f'{metadata_line("a.png", "a box")}{json.dumps(dict(file_name=name))}')
    with pytest.raises(ValueError, match=r'm\.jsonl, line 2'):
        read_metadata(tmp_path / 'm.jsonl')


@pytest.mark.parametrize('name', ['a.png', './a.png', './/a.png'])
def test_image_with_two_lines(tmp_path, name):
    lines = [metadata_line('a.png', 'a box'), '\n', metadata_line('b.png', 'a box'), metadata_line(name, 'a ball')]
    (tmp_path / 'm.jsonl').write_text(''.join(lines))
    with pytest.raises(ValueError, match=rf"m\.jsonl, line 4.*'{re.escape(name)}'.*line 1"):
        read_metadata(tmp_path / 'm.jsonl')


def test_byte_order_mark(tmp_path):
    (tmp_path / 'm.jsonl').write_text(metadata_line('a.png', 'a box'), encoding='utf-8-sig')
    assert read_metadata(tmp_path / 'm.jsonl') == [('a.png', ['a box'])]


def test_deep_and_long_lines_are_quoted_briefly(tmp_path):
    for line in ('[' * 100_000, '"' + 'x' * 100_000):
        (tmp_path / 'm.jsonl').write_text(line)
        with pytest.raises(ValueError, match='line 1') as error:
            read_metadata(tmp_path / 'm.jsonl')
        assert len(str(error.value)) < 500


def test_hidden_files_are_no_images(tmp_path):
    for name in ('b.PNG', 'a.jpg', '._a.jpg', '.part-host-7-ab.png', 'notes.txt'):
        (tmp_path / name).touch()
    assert list_images(tmp_path) == [('a.jpg', []), ('b.PNG', [])]


def test_files_that_are_left_out_are_counted(tmp_path, caplog):
    for name in ('a.png', 'b.heic', 'c.gif', '._a.png'):
        (tmp_path / name).touch()
    (tmp_path / 'folder.png').mkdir()
    with heard(caplog):
        assert list_images(tmp_path) == [('a.png', [])]
    assert str(tmp_path) in caplog.text and '2 files' in caplog.text and "'b.heic'" in caplog.text


def test_a_folder_of_other_files_says_what_is_there(tmp_path):
    (tmp_path / 'b.heic').touch()
    with pytest.raises(FileNotFoundError, match=r"metadata\.jsonl.*'b\.heic'"):
        list_images(tmp_path)


def test_another_encoding(tmp_path):
    (tmp_path / 'metadata.jsonl').write_bytes('{"file_name": "a.png"}'.encode('utf-16'))
    with pytest.raises(ValueError, match='line 1'):
        read_metadata(tmp_path / 'metadata.jsonl')
