import os
import pickle
import shutil

import lmdb
import pytest

from mmdiffperc.generative.data import target_stores
from mmdiffperc.generative.data.target_stores import FolderTargets, LmdbTargets, find_keys, open_targets

ENTRIES = {'a.png': b'first', 'scenes/ü.png': b'second', 'big.png': bytes(9000)}


@pytest.fixture
def database(tmp_path):
    """An lmdb of a few entries, one of them of several pages."""
    path = tmp_path / 'normals'
    with lmdb.open(str(path)) as environment, environment.begin(write=True) as transaction:
        for key, value in ENTRIES.items():
            transaction.put(key.encode(), value)
    return path


def test_entries(database):
    targets = open_targets(database)
    assert {key: targets.read(key)[0] for key in ENTRIES} == ENTRIES
    assert targets.read('a.png')[1] == f"{database}, entry 'a.png'"
    assert targets.missing(['a.png', 'b.png', 'a.pn', *ENTRIES]) == ['b.png', 'a.pn']
    assert pickle.loads(pickle.dumps(targets)).read('a.png')[0] == b'first'


def test_single_file(tmp_path, database):
    file = (database / 'data.mdb').rename(tmp_path / 'normals.lmdb')
    assert open_targets(file).read('a.png') == (b'first', f"{file}, entry 'a.png'")


def test_writes_nothing(database):
    for path in (*database.iterdir(), database):
        path.chmod(path.stat().st_mode & ~0o222)
    before = {path.name: path.stat().st_mtime_ns for path in database.iterdir()}
    open_targets(database).read('a.png')
    assert {path.name: path.stat().st_mtime_ns for path in database.iterdir()} == before
    database.chmod(0o755)


def test_a_fork_opens_its_own(database):
    targets = LmdbTargets(database)
    targets.read('a.png')
    if not (child := os.fork()):
        os._exit(0 if targets.read('a.png')[0] == b'first' else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert targets.read('a.png')[0] == b'first'


def test_a_path_can_name_another_database_later(database, tmp_path, monkeypatch):
    """A relative path in another folder, and a database that was made again."""
    monkeypatch.chdir(tmp_path)
    assert open_targets('normals').read('a.png')[0] == b'first'
    for folder in (tmp_path / 'elsewhere', tmp_path):
        folder.mkdir(exist_ok=True)
        monkeypatch.chdir(folder)
        shutil.rmtree('normals', ignore_errors=True)
        with lmdb.open('normals') as environment, environment.begin(write=True) as transaction:
            transaction.put(b'a.png', str(folder).encode())
        assert open_targets('normals').read('a.png')[0] == str(folder).encode()


def test_missing_entry(database):
    with pytest.raises(FileNotFoundError, match="'b.png'"):
        open_targets(database).read('b.png')


def test_limits_of_keys_and_entries(database, monkeypatch):
    targets = open_targets(database)
    for ask in (targets.read, lambda key: targets.missing([key])):
        with pytest.raises(ValueError, match=r'ü.*511 bytes.*\b512\b'):
            ask('ü' * 256)
    monkeypatch.setattr(target_stores, 'MOST_BYTES', 8999)
    with pytest.raises(ValueError, match="'big.png'.*9000 bytes.*8999"):
        targets.read('big.png')
    assert targets.read('a.png')[0] == b'first'


def test_missing_database(tmp_path):
    with pytest.raises(FileNotFoundError, match='depth'):
        open_targets(tmp_path / 'depth')


@pytest.mark.parametrize(
    ('damage', 'message'),
    [
        (lambda content: content[: len(content) // 2], 'data.mdb.*bytes'),
        (lambda content: b'x' * 9000, 'data.mdb.*LMDB.*damaged'),
        (lambda content: b'', 'data.mdb.*LMDB.*damaged'),
    ],
)
def test_damaged_database(database, damage, message):
    file = database / 'data.mdb'
    file.write_bytes(damage(file.read_bytes()))
    with pytest.raises(ValueError, match=message):
        open_targets(database).read('a.png')


def test_files(tmp_path):
    targets = open_targets(tmp_path)
    assert isinstance(targets, FolderTargets)
    (tmp_path / 'room').mkdir()
    for name in ('a.png', 'a.npz', 'b.png', 'room/c.npy'):
        (tmp_path / name).write_bytes(name.encode())
    found = {key: targets.read(key) for key in ('a.jpg', 'b.png', 'room/c.jpg')}
    assert found == {
        'a.jpg': (b'a.npz', str(tmp_path / 'a.npz')),
        'b.png': (b'b.png', str(tmp_path / 'b.png')),
        'room/c.jpg': (b'room/c.npy', str(tmp_path / 'room/c.npy')),
    }
    assert targets.missing(['a.jpg', 'c.jpg', 'd.png']) == ['c.jpg', 'd.png']
    with pytest.raises(FileNotFoundError, match='d.png'):
        targets.read('d.png')


class Entries(FolderTargets):
    """A folder with these empty files."""

    def __init__(self, path, *names):
        super().__init__(path)
        for name in names:
            (path / name).parent.mkdir(exist_ok=True)
            (path / name).touch()


IMAGES = ['a.png', 'room/b.1.jpg']


@pytest.mark.parametrize(
    ('stored', 'extra_key', 'expected'),
    [
        (['a.png', 'room/b.1.png'], None, IMAGES),
        (['a.png', 'room/b.png'], None, ['a', 'room/b']),
        (['a.png', 'room/b.png', 'a-r.png', 'room/b-r.png'], None, ['a', 'room/b']),
        (['a-s.png', 'room/b-s.npz', 'a-r.png'], None, ['a-s', 'room/b-s']),
        (['a-r.png', 'room/b-r.png', 'a-s.png', 'room/b-s.png'], 'r', ['a-r', 'room/b-r']),
        (['a-r.png', 'room/b-r.png', 'a.png', 'room/b.png'], '', ['a', 'room/b']),
        (['a-mine.png', 'room/b-mine.png'], 'mine', ['a-mine', 'room/b-mine']),
    ],
)
def test_forms_of_keys(tmp_path, stored, extra_key, expected):
    assert find_keys(Entries(tmp_path, *stored), IMAGES, extra_key) == expected


def test_official_database(tmp_path):
    with lmdb.open(str(tmp_path)) as environment, environment.begin(write=True) as transaction:
        for key in ('a-r', 'room/b-r', 'a-s'):
            transaction.put(key.encode(), b'target')
    assert find_keys(open_targets(tmp_path), IMAGES) == ['a-r', 'room/b-r']
    forms = "'c.png' or 'c' or 'c-r' or 'c-s'; .* 3 entries.*'a-r'"
    with pytest.raises(FileNotFoundError, match=f"1 of 2 .*'c.png'.*{forms}"):
        find_keys(open_targets(tmp_path), ['a.png', 'c.png'])
    with pytest.raises(FileNotFoundError, match="1 of 2 .*'room/b.1.jpg'.*entry 'room/b-s';"):
        find_keys(open_targets(tmp_path), IMAGES, 's')


def test_several_targets_of_an_image(tmp_path):
    with pytest.raises(ValueError, match=r"'a-r', 'a-s'.*target_extra_key.*'r', 's'"):
        find_keys(Entries(tmp_path, 'a-r.png', 'a-s.png'), ['a.png'])


def test_several_images_with_one_key(tmp_path):
    with pytest.raises(ValueError, match=r"'b.1.png' and 'b.2.png'.*'b-s'"):
        find_keys(Entries(tmp_path, 'a-s.png', 'b-s.png'), ['a.png', 'b.1.png', 'b.2.png'])
