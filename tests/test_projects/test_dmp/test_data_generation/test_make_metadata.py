import json

import make_metadata
import pytest

from mmdiffperc.inference.metadata import list_images


@pytest.fixture
def folder(images):
    """Images without metadata."""
    (images / 'metadata.jsonl').unlink()
    return images


def test_captions_of_a_text_file(tmp_path, folder, capsys):
    (tmp_path / 'captions.txt').write_text('a box\na cone\na sphere\n')
    arguments = [str(folder), '--text-file', str(tmp_path / 'captions.txt')]
    expected = [('a.png', ['a box']), ('b.png', ['a cone']), ('c.png', ['a sphere'])]
    for _ in range(2):
        assert make_metadata.main(arguments) == 0 and list_images(folder) == expected
    (tmp_path / 'captions.txt').write_text('a box\na cone\nother\n')
    assert make_metadata.main(arguments) == 1 and list_images(folder) == expected
    (tmp_path / 'captions.txt').write_text('a box\n')
    assert make_metadata.main(arguments) == 1
    assert '3 images' in capsys.readouterr().err


def test_names_only(folder):
    assert make_metadata.main([str(folder)]) == 0
    assert list_images(folder) == [('a.png', []), ('b.png', []), ('c.png', [])]


def test_captions_of_a_model(folder, captioning_model, capsys):
    """In two processes the same as in one."""
    file = folder / 'metadata.jsonl'
    common = ['--model', str(captioning_model), '--max-tokens', '4', '--batch-size', '1', '--device', 'cpu']
    arguments = [str(folder), *common]
    assert make_metadata.main(arguments) == 0
    whole = file.read_text()
    captions = [json.loads(line) for line in whole.splitlines()]
    assert [caption['file_name'] for caption in captions] == ['a.png', 'b.png', 'c.png']
    assert len({caption['text'] for caption in captions}) > 1
    assert make_metadata.main(arguments) == 0 and file.read_text() == whole
    assert make_metadata.main([*arguments, '--max-tokens', '3']) == 1
    assert 'max_tokens 4' in capsys.readouterr().err
    file.unlink()
    for index in '01':
        assert not file.exists()
        assert make_metadata.main([*arguments, '--index', index, '--world-size', '2']) == 0
    assert file.read_text() == whole


def test_unreadable_images_are_left_out(folder, captioning_model, capsys):
    (folder / 'b.png').write_bytes(b'broken')
    arguments = [str(folder), '--model', str(captioning_model), '--max-tokens', '2', '--device', 'cpu']
    assert make_metadata.main(arguments) == 1
    assert 'b.png' in capsys.readouterr().err
    assert [name for name, _ in list_images(folder)] == ['a.png', 'c.png']


def test_metadata_of_others_is_kept(images, captioning_model, capsys):
    before = (images / 'metadata.jsonl').read_text()
    for options in ([], ['--model', str(captioning_model)]):
        assert make_metadata.main([str(images), *options]) == 1
        assert 'metadata.jsonl' in capsys.readouterr().err
    assert (images / 'metadata.jsonl').read_text() == before


def test_bad_input(tmp_path, folder, capsys):
    assert make_metadata.main([str(folder), '--model', str(tmp_path)]) == 1
    assert f'make_metadata: {tmp_path}' in capsys.readouterr().err
    (tmp_path / 'empty').mkdir()
    assert make_metadata.main([str(tmp_path / 'empty')]) == 1
    assert 'empty' in capsys.readouterr().err
