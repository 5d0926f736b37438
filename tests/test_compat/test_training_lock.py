"""A folder is locked for one process; file systems without locks cause a warning."""

import errno

import filelock
import pytest

from mmdiffperc.compat.training_lock import LOCK_FILE, lock_folder


def test_lock_of_one_process(tmp_path):
    first, second = lock_folder(tmp_path / 'run'), lock_folder(tmp_path / '.' / 'run')
    assert first is second and first.is_locked
    first.release(force=True)
    assert not first.is_locked
    assert LOCK_FILE.startswith('.') and (tmp_path / 'run' / LOCK_FILE).is_file()


def test_lock_of_another_process(tmp_path):
    """Another lock on the same file is what another process would hold."""
    with filelock.FileLock(tmp_path / LOCK_FILE), pytest.raises(RuntimeError, match=LOCK_FILE) as error:
        lock_folder(tmp_path)
    assert str(tmp_path) in str(error.value) and 'work_dir' in str(error.value)
    lock_folder(tmp_path).release()


@pytest.mark.parametrize('reason', [errno.ENOLCK, errno.EROFS, errno.EOPNOTSUPP])
def test_file_system_without_locks(tmp_path, monkeypatch, reason):
    def refuse(*args):
        raise OSError(reason, 'no locks here')

    monkeypatch.setattr('fcntl.flock', refuse)
    with pytest.warns(UserWarning, match='no locks here'):
        assert lock_folder(tmp_path) is None


def test_file_system_without_flock(tmp_path, monkeypatch):
    """Then filelock keeps the holder's process id in the file instead."""

    def refuse(*args):
        raise OSError(errno.ENOSYS, 'not implemented')

    monkeypatch.setattr('fcntl.flock', refuse)
    with pytest.warns(UserWarning, match='flock'):
        lock = lock_folder(tmp_path)
    assert lock.is_locked
    lock.release(force=True)
