"""A training recognises its own checkpoints, and finds the one to resume from after any interruption."""

import logging
import os
import pickle
from pathlib import Path

import pytest
import torch
from mmengine.fileio import BaseStorageBackend, LocalBackend

from mmdiffperc.compat.checkpoint_folder import (
    CheckpointFolder,
    latest_checkpoint,
    record_checkpoint,
    recorded_checkpoint,
)


class Bucket(BaseStorageBackend):
    """An object store that holds the given names."""

    def __init__(self, *names):
        self.names = names

    def get(self, filepath):
        raise NotImplementedError

    def get_text(self, filepath):
        raise NotImplementedError

    def join_path(self, *parts):
        return '/'.join(parts)

    def exists(self, filepath):
        return filepath in self.names

    def isdir(self, filepath):
        return any(name.startswith(f'{filepath}/') for name in self.names)

    def list_dir_or_file(self, dir_path, recursive=False):
        return [name.removeprefix(f'{dir_path}/') for name in self.names if name.startswith(dir_path)]


@pytest.fixture
def run(tmp_path):
    (tmp_path / 'run').mkdir()
    return tmp_path / 'run'


@pytest.fixture
def folder(run):
    return CheckpointFolder(LocalBackend(), run, 'epoch_{}.pth')


@pytest.mark.parametrize('name', ['epoch_1.pth', 'epoch_12.pth', 'best_mIoU_epoch_3.pth', 'best_coco_AP_epoch_3.pth'])
def test_own_checkpoints(folder, run, name):
    assert folder.owns(str(run / name))
    assert folder.owns(os.path.relpath(run / name))
    assert folder.owns(f'{run}/../run/./{name}')


OTHER_FILES = """
. .. ../run last_checkpoint vis_data epoch_.pth epoch_1.pth.txt ../epoch_1.pth ../runs/epoch_1.pth vis_data/epoch_1.pth
best_/epoch_1.pth best_x/../../a_epoch_1.pth
"""


@pytest.mark.parametrize('name', ['', 'epoch_1.pth\0', *OTHER_FILES.split()])
def test_other_files(folder, run, name):
    assert not folder.owns(f'{run}/{name}')


@pytest.mark.parametrize('path', [None, 3, b'epoch_1.pth', ['epoch_1.pth'], {}])
def test_what_is_no_path(folder, path):
    assert not folder.owns(path)
    assert folder.own(path) is None


def test_links(folder, run, tmp_path):
    (tmp_path / 'precious.pth').touch()
    (run / 'epoch_1.pth').symlink_to(tmp_path / 'precious.pth')
    (tmp_path / 'alias').symlink_to(run)
    assert not folder.owns(str(run / 'epoch_1.pth')), 'it leaves the folder'
    assert folder.owns(str(tmp_path / 'alias' / 'epoch_2.pth')), 'it leads into the folder'
    assert CheckpointFolder(LocalBackend(), tmp_path / 'alias', 'epoch_{}.pth').owns(str(run / 'epoch_2.pth'))


@pytest.mark.parametrize(
    ('template', 'name', 'best'),
    [
        ('iter_{:05d}.pth', 'iter_00300.pth', 'best_x_iter_00300.pth'),
        ('latest.pth', 'latest.pth', 'best_x_latest.pth'),
        ('kept/e{}.pth', 'kept/e3.pth', 'best_x_kept_e3.pth'),
    ],
)
def test_templates(run, template, name, best):
    folder = CheckpointFolder(LocalBackend(), run, template)
    (run / name).parent.mkdir(exist_ok=True)
    (run / name).touch()
    assert folder.owns(str(run / name)) and folder.owns(str(run / best)) and not folder.owns(str(run / 'epoch_3.pth'))
    assert folder.newest_first() == [str(run / name)]


def test_namesake(folder, run):
    (run / 'epoch_2.pth').touch()
    assert folder.own('/other/epoch_2.pth') == str(run / 'epoch_2.pth')
    assert folder.own('C:\\other\\epoch_2.pth') == str(run / 'epoch_2.pth')
    assert folder.own('/other/epoch_3.pth') is None
    assert folder.own('/other/..') is None


def test_newest_first_is_by_number(folder, run):
    for name in ('epoch_9.pth', 'epoch_10.pth', 'best_x_epoch_11.pth', 'epoch_x.pth', 'iter_12.pth'):
        (run / name).touch()
    assert folder.newest_first() == [str(run / 'epoch_10.pth'), str(run / 'epoch_9.pth')]
    assert CheckpointFolder(LocalBackend(), run / 'missing', 'epoch_{}.pth').newest_first() == []


def test_remote_folder():
    bucket = Bucket('s3://bucket/run/epoch_1.pth', 's3://bucket/run/epoch_2.pth', 's3://bucket/runs/epoch_3.pth')
    folder = CheckpointFolder(bucket, 's3://bucket/run', 'epoch_{}.pth')
    assert folder.owns('s3://bucket/run/epoch_7.pth') and folder.owns('s3://bucket/run/best_x_epoch_7.pth')
    for path in ('s3://bucket/runs/epoch_3.pth', 's3://bucket/run/../a/epoch_1.pth', 's3://bucket/run', '/epoch_1.pth'):
        assert not folder.owns(path)
    assert folder.newest_first() == ['s3://bucket/run/epoch_2.pth', 's3://bucket/run/epoch_1.pth']
    assert folder.find_damage('s3://bucket/run/epoch_2.pth') is None
    assert folder.find_damage('s3://bucket/run/epoch_3.pth')


def test_sharded_checkpoint(folder, run):
    """mmengine's strategies write a folder of files."""
    sharded = run / 'epoch_1.pth'
    sharded.mkdir()
    assert folder.newest_first() == [str(sharded)] and 'empty' in folder.find_damage(str(sharded))
    torch.save(torch.zeros(3), sharded / 'rank0.pth')
    assert folder.find_damage(str(sharded)) is None
    (sharded / 'rank1.pth').write_bytes(b'')
    assert 'BadZipFile' in folder.find_damage(str(sharded))


def save(path, weight=0.0, **meta):
    torch.save(dict(state_dict=dict(weight=torch.tensor([weight])), meta=meta or dict(epoch=1, iter=5)), path)


@pytest.fixture
def trained(tmp_path):
    """A work folder with the checkpoints of two epochs and the best one."""
    for name in ('epoch_1.pth', 'epoch_2.pth', 'best_x_epoch_3.pth'):
        save(tmp_path / name)
    return tmp_path


@pytest.fixture
def choose(trained, caplog):
    """Return a function that gives the name of the chosen checkpoint and the warnings."""

    def choose():
        caplog.clear()
        folder = CheckpointFolder(LocalBackend(), trained, 'epoch_{}.pth')
        checkpoint = latest_checkpoint(trained, folder, logging.getLogger('test'))
        return checkpoint and Path(checkpoint).relative_to(trained).as_posix(), caplog.text

    return choose


def test_recorded_checkpoint_is_chosen(trained, choose):
    record_checkpoint(trained, str(trained / 'epoch_1.pth'))
    assert (trained / 'last_checkpoint').read_text() == str(trained / 'epoch_1.pth')
    assert choose() == ('epoch_1.pth', '')


@pytest.mark.parametrize('content', [b'', b'\n', bytes(40), b'\xff\xfe', b'/nowhere/epoch_3.pth', b'x' * 5000, b'a\0b'])
def test_bad_record(trained, choose, content):
    (trained / 'last_checkpoint').write_bytes(content)
    chosen, warning = choose()
    assert chosen == 'epoch_2.pth'
    assert 'last_checkpoint' in warning and 'epoch_2.pth' in warning and len(warning) < 1000


def test_missing_record(trained, choose):
    chosen, warning = choose()
    assert chosen == 'epoch_2.pth' and 'last_checkpoint' in warning


def test_removed_checkpoint(trained, choose):
    record_checkpoint(trained, str(trained / 'epoch_3.pth'))
    chosen, warning = choose()
    assert chosen == 'epoch_2.pth' and 'epoch_3.pth' in warning and 'epoch_2.pth' in warning


def test_damaged_checkpoint(trained, choose):
    record_checkpoint(trained, str(trained / 'epoch_2.pth'))
    content = (trained / 'epoch_2.pth').read_bytes()
    (trained / 'epoch_2.pth').write_bytes(content[:-20])
    chosen, warning = choose()
    assert chosen == 'epoch_1.pth'
    assert 'epoch_2.pth' in warning and 'damaged' in warning and 'epoch_1.pth' in warning


def test_copied_folder_uses_its_own_checkpoint(trained, choose, tmp_path_factory):
    original = tmp_path_factory.mktemp('original')
    save(original / 'epoch_1.pth')
    record_checkpoint(trained, str(original / 'epoch_1.pth'))
    assert choose() == ('epoch_1.pth', '')


def test_record_of_another_folder(trained, choose, tmp_path_factory):
    """As in a copy from which the newest checkpoint was removed: the original counts only if nothing else is there."""
    original = tmp_path_factory.mktemp('original')
    save(original / 'epoch_7.pth')
    record_checkpoint(trained, str(original / 'epoch_7.pth'))
    chosen, warning = choose()
    assert chosen == 'epoch_2.pth' and 'epoch_7.pth' in warning
    for name in ('epoch_1.pth', 'epoch_2.pth'):
        (trained / name).unlink()
    folder = CheckpointFolder(LocalBackend(), trained, 'epoch_{}.pth')
    assert latest_checkpoint(trained, folder, logging.getLogger('test')) == str(original / 'epoch_7.pth')


@pytest.mark.parametrize(
    ('spoil', 'reason'),
    [
        (lambda path: save(path, float('nan')), 'weight'),
        (lambda path: save(path, note='no progress'), 'epoch'),
        (lambda path: torch.save(torch.zeros(1), path), 'meta'),
        (lambda path: path.write_bytes(pickle.dumps(print)), 'UnpicklingError'),
    ],
    ids=['NaN', 'no progress', 'no dict', 'code'],
)
def test_checkpoint_that_cannot_be_resumed_from(trained, choose, spoil, reason):
    record_checkpoint(trained, str(trained / 'epoch_2.pth'))
    spoil(trained / 'epoch_2.pth')
    chosen, warning = choose()
    assert chosen == 'epoch_1.pth' and reason in warning


def test_checkpoint_in_the_format_before_zip(trained, choose):
    content = torch.load(trained / 'epoch_2.pth')
    torch.save(content, trained / 'epoch_2.pth', _use_new_zipfile_serialization=False)
    record_checkpoint(trained, str(trained / 'epoch_2.pth'))
    assert choose() == ('epoch_2.pth', '')


def test_nothing_whole_is_an_error(trained, choose):
    record_checkpoint(trained, str(trained / 'epoch_2.pth'))
    for name in ('epoch_1.pth', 'epoch_2.pth'):
        (trained / name).write_bytes(b'')
    with pytest.raises(RuntimeError, match=r'(?s)epoch_2\.pth.*epoch_1\.pth.*load_from'):
        choose()


def test_empty_record_without_checkpoints_is_an_error(trained, choose):
    for path in trained.glob('*.pth'):
        path.unlink()
    (trained / 'last_checkpoint').touch()
    with pytest.raises(RuntimeError, match='empty'):
        choose()


def test_first_start(trained, choose):
    for path in trained.glob('*.pth'):
        path.unlink()
    assert recorded_checkpoint(trained) is None
    assert choose() == (None, '')
