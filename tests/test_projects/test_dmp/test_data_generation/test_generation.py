import generation
import pytest
import torch


def test_other_settings_are_refused(tmp_path):
    check_settings = generation.check_settings
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


def test_batches(capsys):
    assert [*generation.in_batches('abcde', 2, 3, 'images')] == ['ab', 'cd', 'e']
    assert '8/8' in capsys.readouterr().err


def test_generators():
    generator_of = generation.generator_of
    numbers = [torch.rand(1, generator=generator_of(*key)).item() for key in [(0, 0), (0, 1), (1, 0), (0, 0)]]
    assert numbers[0] == numbers[3] and len(set(numbers)) == 3


@pytest.mark.parametrize('content', [b'', b'\xff', b'[1]', b'[' * 100_000])
def test_damaged_note_of_settings(tmp_path, content):
    (tmp_path / 'made.json').write_bytes(content)
    with pytest.raises(ValueError, match=r'made\.json'):
        generation.check_settings(tmp_path / 'made.json', True, seed=1)
