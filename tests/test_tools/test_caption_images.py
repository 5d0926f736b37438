import json
import shutil

import caption_images
import pytest
from PIL import Image
from tiny_captioners import save_blip

from mmdiffperc.captions import CaptionFile


@pytest.fixture(scope='module')
def model(tmp_path_factory):
    return save_blip(tmp_path_factory.mktemp('blip') / 'model')


@pytest.fixture
def folder(tmp_path):
    """Three images, two of them in a subfolder."""
    for index, name in enumerate(('a.png', 'sub/b.png', 'sub/c.jpg')):
        path = tmp_path / 'images' / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new('RGB', (40, 30), (90 * index, 20, 200 - 90 * index)).save(path)
    return tmp_path / 'images'


@pytest.fixture
def arguments(folder, model):
    return [str(folder), '--model', str(model), '--max-tokens', '5', '--batch-size', '2', '--device', 'cpu']


@pytest.mark.parametrize('suffix', ['.json', '.jsonl'])
def test_captions_of_a_model(tmp_path, arguments, suffix, capsys):
    out = tmp_path / f'captions{suffix}'
    assert caption_images.main([*arguments, '--out-file', str(out)]) == 0
    captions = CaptionFile(out).captions
    assert list(captions) == ['a.png', 'sub/b.png', 'sub/c.jpg'] and all(captions.values())
    assert '3 captions' in capsys.readouterr().out
    before = out.read_bytes()
    assert caption_images.main([*arguments, '--out-file', str(out)]) == 0 and out.read_bytes() == before
    assert caption_images.main([*arguments, '--out-file', str(out), '--min-tokens', '2']) == 1
    assert 'min_tokens 0' in capsys.readouterr().err


def test_format_of_tadp(tmp_path, arguments):
    out = tmp_path / 'captions.json'
    assert caption_images.main([*arguments, '--out-file', str(out)]) == 0
    content = json.loads(out.read_text())
    assert {tuple(entry) for entry in content.values()} == {('captions',)}
    assert all(len(entry['captions']) == 1 for entry in content.values())


def test_lengths_and_the_last_character(tmp_path, arguments):
    captions = {}
    for name, options in {'plain': [], 'long': ['--min-tokens', '5'], 'cut': ['--cut-last-character']}.items():
        assert caption_images.main([*arguments, '--out-file', str(tmp_path / f'{name}.json'), *options]) == 0
        captions[name] = CaptionFile(tmp_path / f'{name}.json').captions
    assert captions['cut'] == {name: text[:-1] for name, text in captions['plain'].items()}
    assert all(len(text.split()) >= 4 for text in captions['long'].values())


def test_captions_from_a_file(tmp_path):
    (tmp_path / 'a.json').write_text('{"x": {"captions": ["a room", "two"]}}')
    arguments = ['--caption-file', str(tmp_path / 'a.json'), '--out-file', str(tmp_path / 'b.jsonl')]
    assert caption_images.main(arguments) == 0
    assert CaptionFile(tmp_path / 'b.jsonl').captions == {'x': 'a room'}


def test_unreadable_images_are_left_out(tmp_path, folder, arguments, capsys):
    (folder / 'sub' / 'b.png').write_bytes(b'broken')
    out = tmp_path / 'captions.jsonl'
    assert caption_images.main([*arguments, '--out-file', str(out)]) == 1
    assert 'b.png' in capsys.readouterr().err
    assert list(CaptionFile(out).captions) == ['a.png', 'sub/c.jpg']


@pytest.mark.parametrize(
    'wrong',
    [
        ['--out-file', 'a.txt'],
        ['--out-file', 'a.json', '--min-tokens', '6'],
        ['--out-file', 'a.json', '--caption-file', __file__],
    ],
)
def test_wrong_command_line(arguments, wrong, capsys):
    with pytest.raises(SystemExit):
        caption_images.main([*arguments, *wrong])
    assert 'usage' in capsys.readouterr().err


def test_model_that_is_no_captioner(tmp_path, arguments, capsys):
    shutil.copytree(arguments[2], tmp_path / 'other')
    (tmp_path / 'other' / 'config.json').write_text('{"model_type": "vit"}')
    arguments[2] = str(tmp_path / 'other')
    assert caption_images.main([*arguments, '--out-file', str(tmp_path / 'a.json')]) == 1
    assert 'image-to-text' in capsys.readouterr().err and not (tmp_path / 'a.json').exists()


def test_empty_folder(tmp_path, model, capsys):
    (tmp_path / 'empty').mkdir()
    arguments = [str(tmp_path / 'empty'), '--model', str(model), '--out-file', str(tmp_path / 'a.json')]
    assert caption_images.main(arguments) == 1 and 'empty' in capsys.readouterr().err
