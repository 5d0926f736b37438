from argparse import Namespace

import generation
import numpy as np
import pytest
import torch

from mmdiffperc.generative.data.target_stores import new_database, put
from mmdiffperc.inference.writers import encode_png
from mmdiffperc_cli.options import tool_parser


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


def test_shards_are_whole_batches():
    shards = [generation.shard(Namespace(batch_size=2, index=index, world_size=3), 9) for index in range(3)]
    assert shards == [[0, 1, 6, 7], [2, 3, 8], [4, 5]]


@pytest.mark.parametrize('wrong', [['--index', '2', '--world-size', '2'], ['--index', '0'], ['--world-size', '2']])
def test_index_without_processes(wrong, capsys):
    parser = tool_parser('')
    generation.add_options(parser, batch_size=1)
    with pytest.raises(SystemExit):
        generation.parse_options(parser, ['--device', 'cpu', *wrong])
    error = capsys.readouterr().err
    assert '--index' in error and '--world-size' in error


def test_the_last_process_joins_the_lines(tmp_path):
    file = tmp_path / 'out.txt'
    args = [Namespace(batch_size=2, index=index, world_size=2) for index in range(2)]

    def make(one):
        load = lambda: lambda indices, items: [f'{index} {item}' for index, item in zip(indices, items, strict=True)]  # noqa: E731
        return generation.make_lines(file, one, 'abcde', load, 'letters')

    assert make(args[1]) == 2 and not file.exists()
    assert make(args[0]) == 3 and file.read_text() == '0 a\n1 b\n2 c\n3 d\n4 e\n'
    assert make(args[0]) == 0 and [path.name for path in tmp_path.iterdir()] == ['out.txt']


def test_images_of_a_folder_and_of_an_lmdb(tmp_path, images):
    """Grey images become colours."""
    (images / 'c.png').write_bytes(encode_png(np.full((4, 6), 7, np.uint8)))
    database = tmp_path / 'db'
    database.mkdir()
    with new_database(database, 1 << 20) as environment:
        for name in 'abc':
            put(environment, name, (images / f'{name}.png').read_bytes())
    (names, read), (keys, read_entry) = generation.open_images(images), generation.open_images(database)
    assert names == ['a.png', 'b.png', 'c.png'] and keys == ['a', 'b', 'c']
    for name, key in zip(names, keys, strict=True):
        assert (read(name) == read_entry(key)).all()
    assert read('c.png').shape == (4, 6, 3)
    (tmp_path / 'keys.txt').write_text('c\na\n')
    assert generation.select(keys, tmp_path / 'keys.txt', database) == ['c', 'a']
    with pytest.raises(ValueError, match=r"keys\.txt.*'a\.png'.*'c'"):
        generation.select(names, tmp_path / 'keys.txt', images)


def test_a_key_that_leads_out_of_the_folder(tmp_path):
    with new_database(tmp_path, 1 << 20) as environment:
        put(environment, '../a', b'')
    with pytest.raises(ValueError, match=r'\.\./a'):
        generation.open_images(tmp_path)


def test_generators():
    generator_of = generation.generator_of
    numbers = [torch.rand(1, generator=generator_of(*key)).item() for key in [(0, 0), (0, 1), (1, 0), (0, 0)]]
    assert numbers[0] == numbers[3] and len(set(numbers)) == 3


@pytest.mark.parametrize('content', [b'', b'\xff', b'[1]', b'[' * 100_000])
def test_damaged_note_of_settings(tmp_path, content):
    (tmp_path / 'made.json').write_bytes(content)
    with pytest.raises(ValueError, match=r'made\.json'):
        generation.check_settings(tmp_path / 'made.json', True, seed=1)
