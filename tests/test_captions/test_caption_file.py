import json

import pytest

from mmdiffperc.captions.caption_file import CaptionFile, encode_captions, encode_lines

CAPTIONS = {'a/1.jpg': 'one', 'b/1.jpg': 'other', '2': 'two', '/kitchen/rgb_3.jpg': 'three'}


@pytest.fixture
def write(tmp_path):
    def write(content, name='captions.json'):
        path = tmp_path / name
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    return write


@pytest.mark.parametrize('encode', [encode_captions, encode_lines])
def test_names_are_ends_of_paths(write, encode):
    captions = dict(list(CAPTIONS.items())[:3])
    file = CaptionFile(write(encode(captions), 'c.jsonl' if encode is encode_lines else 'c.json'))
    assert file['data/a/1.jpg'] == 'one' and file['/data/x/b/1.jpg'] == 'other'
    assert file['2.png'] == file['data/2'] == 'two'


def test_leading_slash_of_nyu(write):
    assert CaptionFile(write(encode_captions(CAPTIONS)))['data/nyu/kitchen/rgb_3.jpg'] == 'three'


def test_forms_of_an_entry(write):
    file = CaptionFile(write({'a': {'captions': ['first', 'second'], 'class_label': 3}, 'b': ['x'], 'c': 'y'}))
    assert [file[name] for name in 'abc'] == ['first', 'x', 'y']


def test_image_without_caption(write):
    file = CaptionFile(write(encode_captions({'ADE_val_00000001': 'x', 'ADE_val_00000002': 'y'})))
    with pytest.raises(ValueError, match=r"captions\.json.*val/ADE_val_00000003\.jpg.*'ADE_val_0000000[12]'"):
        file['val/ADE_val_00000003.jpg']


def test_captions_of_another_data_set(write):
    with pytest.raises(ValueError, match=r"2007_000027\.jpg.*1 entries.*'xyz'"):
        CaptionFile(write({'xyz': 'a'}))['JPEGImages/2007_000027.jpg']


@pytest.mark.parametrize(
    ('content', 'name', 'match'),
    [
        ('{', 'c.json', 'c.json'),
        ('{}', 'c.json', 'empty'),
        ('{"a": {"captions": []}}', 'c.json', "'a'"),
        ('{"a": {"caption": "x"}}', 'c.json', "'a'"),
        ('{"a": [3]}', 'c.json', "'a'"),
        ('{"file_name": "a.png"}\n', 'c.jsonl', "'a.png'"),
        ('{"file": "a.png"}\n', 'c.jsonl', 'line 1'),
    ],
)
def test_damaged_file(write, content, name, match):
    with pytest.raises(ValueError, match=match):
        CaptionFile(write(content, name))


def test_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match='nothing.json'):
        CaptionFile(tmp_path / 'nothing.json')
