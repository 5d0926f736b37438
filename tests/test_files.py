"""Files appear whole or not at all, and names from lists stay below their folder."""

import os
import signal

import child_processes
import pytest
from full_disk import full_disk

from mmdiffperc import files
from mmdiffperc.files import (
    brief,
    quoted,
    read_json,
    read_lines,
    relative_name,
    spread,
    whole_file,
    whole_files,
    whole_folder,
    write_whole,
)


@pytest.fixture(autouse=True)
def untidied(monkeypatch):
    monkeypatch.setattr(files, '_tidied', set())


def test_a_file_appears_when_it_is_whole(tmp_path):
    path = tmp_path / 'new' / 'a.npz'
    with whole_file(path) as partial:
        assert (partial.parent, partial.suffix) == (path.parent, '.npz')
        partial.write_bytes(b'content')
        assert not path.exists()
    assert path.read_bytes() == b'content'
    assert os.listdir(path.parent) == ['a.npz']


@pytest.mark.parametrize('error', [OSError, KeyboardInterrupt])
def test_a_failure_leaves_what_was_there(tmp_path, error):
    path = tmp_path / 'a.txt'
    path.write_text('old')
    with pytest.raises(error), whole_file(path) as partial:
        partial.write_text('half of the n')
        raise error
    assert path.read_text() == 'old'
    assert os.listdir(tmp_path) == ['a.txt']


def test_full_disk_leaves_what_was_there_and_is_told_of_the_file(tmp_path):
    path = tmp_path / 'a.txt'
    write_whole(path, 'old: ä')
    with full_disk(1000), pytest.raises(OSError, match=r'a\.txt'):
        write_whole(path, b'new' * 1000)
    assert path.read_text(encoding='utf-8') == 'old: ä'
    assert os.listdir(tmp_path) == ['a.txt']


def test_an_error_without_a_number_keeps_its_text(tmp_path):
    with pytest.raises(OSError, match='^my own$'), whole_file(tmp_path / 'a.txt'):
        raise OSError('my own')


def test_a_pipe_is_not_replaced(tmp_path):
    os.mkfifo(tmp_path / 'pipe')
    reading = os.open(tmp_path / 'pipe', os.O_RDONLY | os.O_NONBLOCK)
    write_whole(tmp_path / 'pipe', 'content')
    assert os.read(reading, 100) == b'content'
    os.close(reading)
    assert os.listdir(tmp_path) == ['pipe']


def test_text_files(tmp_path):
    (tmp_path / 'a.txt').write_bytes(' ä\n\nb'.encode('utf-8-sig'))
    assert read_lines(tmp_path / 'a.txt') == ['ä', 'b']
    (tmp_path / 'a.png').write_bytes(b'\x89PNG')
    with pytest.raises(ValueError, match=r'a\.png.*UTF-8.*PNG'):
        read_lines(tmp_path / 'a.png')


def test_two_writers_do_not_share_a_partial_file(tmp_path):
    with whole_file(tmp_path / 'a.txt') as one, whole_file(tmp_path / 'a.txt') as other:
        one.write_text('one')
        other.write_text('other')
    assert (tmp_path / 'a.txt').read_text() == 'one'


def test_a_folder_appears_when_it_is_whole(tmp_path):
    (tmp_path / 'out').mkdir()  # an empty one may be there
    with whole_folder(tmp_path / 'out') as partial:
        (partial / 'a.txt').write_text('content')
        assert os.listdir(tmp_path / 'out') == []
    assert (tmp_path / 'out' / 'a.txt').read_text() == 'content'
    assert os.listdir(tmp_path) == ['out']


def test_a_folder_with_content_is_not_replaced(tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'mine.txt').write_text('mine')
    with pytest.raises(OSError, match='out'), whole_folder(tmp_path / 'out') as partial:
        (partial / 'a.txt').write_text('content')
    assert os.listdir(tmp_path) == ['out']
    assert os.listdir(tmp_path / 'out') == ['mine.txt']


def test_files_that_belong_together_appear_when_both_are_whole(tmp_path):
    (tmp_path / 'a.txt').write_text('old')
    with pytest.raises(OSError, match='^my own$'), whole_files(tmp_path) as partial:
        (partial / 'a.txt').write_text('half')
        raise OSError('my own')
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {'a.txt': 'old'}
    with whole_files(tmp_path) as partial:
        (partial / 'a.txt').write_text('new')
        (partial / 'b.txt').write_text('too')
    assert {file.name: file.read_text() for file in tmp_path.iterdir()} == {'a.txt': 'new', 'b.txt': 'too'}


def test_what_a_killed_process_left_is_removed_by_the_next(tmp_path):
    def write_half():
        with whole_file(tmp_path / 'a.txt') as a, whole_folder(tmp_path / 'b') as b:
            a.write_text('half')
            (b / 'c').write_text('half')
            os.kill(os.getpid(), signal.SIGKILL)

    os.waitpid(child_processes.fork(write_half), 0)
    assert len(os.listdir(tmp_path)) == 2
    living = tmp_path / f'{files._PARTIAL}{os.getpid()}-0a.txt'
    living.touch()
    with whole_file(tmp_path / 'a.txt') as partial:
        partial.write_text('whole')
    assert sorted(os.listdir(tmp_path)) == sorted([living.name, 'a.txt'])


@pytest.mark.parametrize('name', ['a.png', 'kitchen/0001.png', './a.png', '..a.png', 'a..b/c', 'Küche 1/ä.png'])
def test_names_below_the_folder(name):
    assert relative_name(name, 'list.json') == name


@pytest.mark.parametrize('name', ['', '.', '..', '../a.png', 'a/../../b', 'a/../b', '/etc/passwd', 'a\0.png', None, 7])
def test_names_elsewhere_are_refused(name):
    with pytest.raises(ValueError, match=r'list\.json'):
        relative_name(name, 'list.json')


def test_quoted_names():
    assert quoted(['wall']) == "'wall'"
    assert quoted(name for name in ('wall', 'crack', 255)) == "'wall', 'crack', 255"
    assert quoted(range(10)) == '0, 1, 2, 3, 4, 5, 6, 7 and 2 more'
    assert len(quoted(['x' * 10**8] * 9)) < 1000


def test_quotes_are_brief():
    nested = []
    for _ in range(200):
        nested = [nested] * 8  # its representation would have 8 ** 200 parts
    assert len(brief(nested)) <= 100
    assert brief([1, 'a', None]) == "list of 3 (1, 'a', None)"
    assert brief('x' * 10**8, length=20) == f"'{'x' * 16}..."
    assert brief(10**10_000) == f'a number of {(10**10_000).bit_length()} bits'
    assert brief(object()) == 'object'


def test_json(tmp_path):
    (tmp_path / 'a.json').write_text('{"ö": [1, null]}', encoding='utf-8-sig')
    assert read_json(tmp_path / 'a.json') == {'ö': [1, None]}


@pytest.mark.parametrize('content', [b'', b'{', b'\xff', b'[1]', b'3', b'[' * 100_000, b'"' + b'x' * 100_000 + b'"'])
def test_json_that_is_no_object(tmp_path, content):
    (tmp_path / 'a.json').write_bytes(content)
    with pytest.raises(ValueError, match=r'a\.json') as error:
        read_json(tmp_path / 'a.json')
    assert len(str(error.value)) < 500


@pytest.mark.parametrize(('count', 'expected'), [(0, []), (3, [0, 1, 2]), (4, [0, 1, 2]), (7, [0, 2, 4])])
def test_a_sample_is_spread_evenly(count, expected):
    assert list(spread(range(count), 3)) == expected
