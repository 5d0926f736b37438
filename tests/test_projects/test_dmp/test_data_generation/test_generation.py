import pytest
import torch


def test_other_settings_are_refused(tmp_path, tool):
    check_settings = tool('generation').check_settings
    path = tmp_path / 'new/made.json'
    check_settings(path, False, seed=7)
    check_settings(path, False, seed=1, size=[3, 4], model=None)  # nothing had been made with the others
    check_settings(path, True, size=[3, 4], seed=1, model=None)
    with pytest.raises(FileExistsError, match='made.json.*seed 1'):
        check_settings(path, True, seed=2, size=[3, 4], model=None)
    with pytest.raises(FileExistsError, match='steps.*None'):
        check_settings(path, True, seed=1, size=[3, 4], model=None, steps=5)
    path.write_text('{"seed":')
    with pytest.raises(ValueError, match='made.json'):
        check_settings(path, True, seed=1)


def test_batches(tool, capsys):
    assert [*tool('generation').in_batches('abcde', 2, 3, 'images')] == ['ab', 'cd', 'e']
    assert '8/8' in capsys.readouterr().err


def test_generators(tool):
    generator_of = tool('generation').generator_of
    numbers = [torch.rand(1, generator=generator_of(*key)).item() for key in [(0, 0), (0, 1), (1, 0), (0, 0)]]
    assert numbers[0] == numbers[3] and len(set(numbers)) == 3


def test_captions(tmp_path, tool):
    read_captions = tool('generation').read_captions
    (tmp_path / 'a.txt').write_text('a box\n\n two boxes \n')
    (tmp_path / 'a.jsonl').write_text('{"text": "a box", "keyword": "box"}\n')
    assert read_captions(tmp_path / 'a.txt') == ['a box', 'two boxes']
    assert read_captions(tmp_path / 'a.jsonl') == ['a box']
    for content in ('', 'a box', '{}', '{"text": 3}'):
        (tmp_path / 'bad.jsonl').write_text(content)
        with pytest.raises(ValueError, match=r'bad\.jsonl'):
            read_captions(tmp_path / 'bad.jsonl')


def test_captions_with_a_byte_order_mark(tmp_path, tool):
    (tmp_path / 'a.txt').write_text('a box\n', encoding='utf-8-sig')
    (tmp_path / 'a.jsonl').write_text('{"text": "a box"}\n', encoding='utf-8-sig')
    for name in ('a.txt', 'a.jsonl'):
        assert tool('generation').read_captions(tmp_path / name) == ['a box']


@pytest.mark.parametrize('content', [b'\xff\xfe', b'[' * 100_000, b'{"text": ' + b'[' * 400 + b']' * 400 + b'}'])
def test_captions_that_cannot_be_read(tmp_path, tool, content):
    (tmp_path / 'bad.jsonl').write_bytes(content)
    with pytest.raises(ValueError, match=r'bad\.jsonl') as error:
        tool('generation').read_captions(tmp_path / 'bad.jsonl')
    assert len(str(error.value)) < 500


@pytest.mark.parametrize('content', [b'', b'\xff', b'[1]', b'[' * 100_000])
def test_damaged_note_of_settings(tmp_path, tool, content):
    (tmp_path / 'made.json').write_bytes(content)
    with pytest.raises(ValueError, match=r'made\.json'):
        tool('generation').check_settings(tmp_path / 'made.json', True, seed=1)
