"""The checkpoint to resume from is found whatever the training before was interrupted at."""

import logging
import pickle
from pathlib import Path

import pytest
import torch
from mmengine.fileio import LocalBackend

from mmdiffperc.compat.checkpoint_folder import (
    CheckpointFolder,
    latest_checkpoint,
    record_checkpoint,
    recorded_checkpoint,
)


def save(path, weight=0.0, **meta):
    torch.save(dict(state_dict=dict(weight=torch.tensor([weight])), meta=meta or dict(epoch=1, iter=5)), path)


@pytest.fixture
def run(tmp_path):
    """A work folder with the checkpoints of two epochs and the best one."""
    for name in ('epoch_1.pth', 'epoch_2.pth', 'best_x_epoch_3.pth'):
        save(tmp_path / name)
    return tmp_path


@pytest.fixture
def choose(run, caplog):
    """Return a function that gives the name of the chosen checkpoint and the warnings."""

    def choose():
        caplog.clear()
        folder = CheckpointFolder(LocalBackend(), run, 'epoch_{}.pth')
        checkpoint = latest_checkpoint(run, folder, logging.getLogger('test'))
        return checkpoint and Path(checkpoint).relative_to(run).as_posix(), caplog.text

    return choose


def test_recorded_checkpoint_is_chosen(run, choose):
    record_checkpoint(run, str(run / 'epoch_1.pth'))
    assert (run / 'last_checkpoint').read_text() == str(run / 'epoch_1.pth')
    assert choose() == ('epoch_1.pth', '')


@pytest.mark.parametrize('content', [b'', b'\n', bytes(40), b'\xff\xfe', b'/nowhere/epoch_3.pth', b'x' * 5000, b'a\0b'])
def test_bad_record(run, choose, content):
    (run / 'last_checkpoint').write_bytes(content)
    chosen, warning = choose()
    assert chosen == 'epoch_2.pth'
    assert 'last_checkpoint' in warning and 'epoch_2.pth' in warning and len(warning) < 1000


def test_missing_record(run, choose):
    chosen, warning = choose()
    assert chosen == 'epoch_2.pth' and 'last_checkpoint' in warning


def test_removed_checkpoint(run, choose):
    record_checkpoint(run, str(run / 'epoch_3.pth'))
    chosen, warning = choose()
    assert chosen == 'epoch_2.pth' and 'epoch_3.pth' in warning and 'epoch_2.pth' in warning


def test_damaged_checkpoint(run, choose):
    record_checkpoint(run, str(run / 'epoch_2.pth'))
    content = (run / 'epoch_2.pth').read_bytes()
    (run / 'epoch_2.pth').write_bytes(content[:-20])
    chosen, warning = choose()
    assert chosen == 'epoch_1.pth'
    assert 'epoch_2.pth' in warning and 'damaged' in warning and 'epoch_1.pth' in warning


def test_copied_folder_uses_its_own_checkpoint(run, choose, tmp_path_factory):
    original = tmp_path_factory.mktemp('original')
    save(original / 'epoch_1.pth')
    record_checkpoint(run, str(original / 'epoch_1.pth'))
    assert choose() == ('epoch_1.pth', '')


def test_record_of_another_folder(run, choose, tmp_path_factory):
    """As in a copy from which the newest checkpoint was removed: the original counts only if nothing else is there."""
    original = tmp_path_factory.mktemp('original')
    save(original / 'epoch_7.pth')
    record_checkpoint(run, str(original / 'epoch_7.pth'))
    chosen, warning = choose()
    assert chosen == 'epoch_2.pth' and 'epoch_7.pth' in warning
    for name in ('epoch_1.pth', 'epoch_2.pth'):
        (run / name).unlink()
    folder = CheckpointFolder(LocalBackend(), run, 'epoch_{}.pth')
    assert latest_checkpoint(run, folder, logging.getLogger('test')) == str(original / 'epoch_7.pth')


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
def test_checkpoint_that_cannot_be_resumed_from(run, choose, spoil, reason):
    record_checkpoint(run, str(run / 'epoch_2.pth'))
    spoil(run / 'epoch_2.pth')
    chosen, warning = choose()
    assert chosen == 'epoch_1.pth' and reason in warning


def test_checkpoint_in_the_format_before_zip(run, choose):
    content = torch.load(run / 'epoch_2.pth')
    torch.save(content, run / 'epoch_2.pth', _use_new_zipfile_serialization=False)
    record_checkpoint(run, str(run / 'epoch_2.pth'))
    assert choose() == ('epoch_2.pth', '')


def test_nothing_whole_is_an_error(run, choose):
    record_checkpoint(run, str(run / 'epoch_2.pth'))
    for name in ('epoch_1.pth', 'epoch_2.pth'):
        (run / name).write_bytes(b'')
    with pytest.raises(RuntimeError, match=r'(?s)epoch_2\.pth.*epoch_1\.pth.*load_from'):
        choose()


def test_empty_record_without_checkpoints_is_an_error(run, choose):
    for path in run.glob('*.pth'):
        path.unlink()
    (run / 'last_checkpoint').touch()
    with pytest.raises(RuntimeError, match='empty'):
        choose()


def test_first_start(run, choose):
    for path in run.glob('*.pth'):
        path.unlink()
    assert recorded_checkpoint(run) is None
    assert choose() == (None, '')
