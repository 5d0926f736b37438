import os
from functools import partial
from pathlib import Path

import pytest
from resumable import link_or_copy, require_files, write_folder


def write(text, path):
    path.write_text(text)


def fail_half_way(path):
    path.write_text('half')
    raise OSError('No space left on device')


FILES = {f'{folder}/{name}.txt': partial(write, name) for folder in ('images', 'annotations') for name in 'abc'}


def test_writes_all(tmp_path):
    assert write_folder(tmp_path / 'new/out', FILES) == 6
    assert (tmp_path / 'new/out/annotations/b.txt').read_text() == 'b'
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['out']
    assert write_folder(tmp_path / 'new/out', FILES) == 0


def test_continues_after_an_interruption(tmp_path):
    with pytest.raises(OSError, match='No space left'):
        write_folder(tmp_path / 'out', FILES | {'images/c.txt': fail_half_way})
    assert not (tmp_path / 'out').exists()
    assert sorted(path.name for path in (tmp_path / 'out.part/images').iterdir()) == ['a.txt', 'b.txt']
    (tmp_path / 'out.part/images/a.txt').write_text('from the first run')

    assert write_folder(tmp_path / 'out', FILES) == 4
    found = {path.relative_to(tmp_path / 'out').as_posix() for path in (tmp_path / 'out').rglob('*') if path.is_file()}
    assert found == set(FILES)
    assert (tmp_path / 'out/images/a.txt').read_text() == 'from the first run'
    assert (tmp_path / 'out/images/c.txt').read_text() == 'c'


def test_links_a_protected_file(tmp_path):
    (tmp_path / 'source').write_text('source')
    (tmp_path / 'source').chmod(0o444)
    write_folder(tmp_path / 'out', FILES | {'images/b.txt': partial(link_or_copy, tmp_path / 'source')})
    assert (tmp_path / 'source').read_text() == 'source'
    assert (tmp_path / 'out/images/b.txt').samefile(tmp_path / 'source')


def test_copies_where_it_cannot_link(tmp_path, monkeypatch):
    def refuse(source, target):
        raise OSError('another file system')

    monkeypatch.setattr(os, 'link', refuse)
    (tmp_path / 'source').write_text('source')
    (tmp_path / 'symbolic').symlink_to('source')
    link_or_copy(tmp_path / 'symbolic', tmp_path / 'target')
    assert (tmp_path / 'target').read_text() == 'source' and not (tmp_path / 'target').is_symlink()


def test_refuses_a_folder_of_other_data(tmp_path):
    write_folder(tmp_path / 'out', FILES)
    with pytest.raises(FileExistsError, match=r'\b1\b.*\b7\b.*images/d\.txt'):
        write_folder(tmp_path / 'out', FILES | {'images/d.txt': partial(write, 'd')})
    assert not (tmp_path / 'out/images/d.txt').exists()


def test_refuses_to_continue_another_conversion(tmp_path):
    (tmp_path / 'out.part').mkdir()
    (tmp_path / 'out.part/train.txt').touch()
    with pytest.raises(FileExistsError, match=r'out\.part.*train\.txt'):
        write_folder(tmp_path / 'out', FILES)


@pytest.mark.parametrize('name', ['out', 'out.part'])
def test_refuses_a_file_at_once(tmp_path, name):
    (tmp_path / name).write_text('mine')
    with pytest.raises(FileExistsError, match=f'{name}.*folder'):
        write_folder(tmp_path / 'out', FILES)
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_text() == 'mine'


def test_an_empty_folder_is_used(tmp_path):
    (tmp_path / 'out').mkdir()
    assert write_folder(tmp_path / 'out', FILES) == 6


def test_missing_files(tmp_path):
    (tmp_path / 'here').touch()
    with pytest.raises(FileNotFoundError, match=r'\b1\b.*\b2\b.*missing.*gone'):
        require_files([tmp_path / 'here', Path(tmp_path / 'gone')])


@pytest.mark.parametrize('name', ['../a.txt', '/a.txt', 'b/../../a.txt'])
def test_refuses_files_outside_of_the_folder(tmp_path, name):
    """A scene's name in the file of NYU Depth v2 becomes a part of a path."""
    with pytest.raises(ValueError, match=f"out.*'{name}'"):
        write_folder(tmp_path / 'out', {'a.txt': partial(write, 'a'), name: partial(write, 'b')})
    assert not list(tmp_path.iterdir())
