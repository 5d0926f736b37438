from argparse import Namespace

import pytest

from mmdiffperc.inference import batched_lines


def test_other_settings_are_refused(tmp_path):
    check_settings = batched_lines.check_settings
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
    assert [*batched_lines.in_batches('abcde', 2, 3, 'images')] == ['ab', 'cd', 'e']
    assert '8/8' in capsys.readouterr().err


def test_shards_are_whole_batches():
    shards = [batched_lines.shard(Namespace(batch_size=2, index=index, world_size=3), 9) for index in range(3)]
    assert shards == [[0, 1, 6, 7], [2, 3, 8], [4, 5]]


def test_the_last_process_joins_the_lines(tmp_path):
    file = tmp_path / 'out.txt'
    args = [Namespace(batch_size=2, index=index, world_size=2) for index in range(2)]

    def make(one):
        load = lambda: lambda indices, items: [f'{index} {item}' for index, item in zip(indices, items, strict=True)]  # noqa: E731
        return batched_lines.make_lines(file, one, 'abcde', load, 'letters')

    assert make(args[1]) == 2 and not file.exists()
    assert make(args[0]) == 3 and file.read_text() == '0 a\n1 b\n2 c\n3 d\n4 e\n'
    assert make(args[0]) == 0 and [path.name for path in tmp_path.iterdir()] == ['out.txt']


@pytest.mark.parametrize('content', [b'', b'\xff', b'[1]', b'[' * 100_000])
def test_damaged_note_of_settings(tmp_path, content):
    (tmp_path / 'made.json').write_bytes(content)
    with pytest.raises(ValueError, match=r'made\.json'):
        batched_lines.check_settings(tmp_path / 'made.json', True, seed=1)
