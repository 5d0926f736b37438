import generation
import numpy as np
import pytest
import torch

from mmdiffperc.generative.data.target_stores import new_database, put
from mmdiffperc.inference.writers import encode_png
from mmdiffperc_cli.options import tool_parser


@pytest.mark.parametrize('wrong', [['--index', '2', '--world-size', '2'], ['--index', '0'], ['--world-size', '2']])
def test_index_without_processes(wrong, capsys):
    parser = tool_parser('')
    generation.add_options(parser, batch_size=1)
    with pytest.raises(SystemExit):
        generation.parse_options(parser, ['--device', 'cpu', *wrong])
    error = capsys.readouterr().err
    assert '--index' in error and '--world-size' in error


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
