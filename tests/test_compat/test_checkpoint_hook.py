"""Nothing is lost when a checkpoint cannot be written."""

import resource
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.compat.checkpoint_hook import AtomicLocalBackend, SafeCheckpointHook


class FullDisk(Hook):
    """Lets no file grow beyond 8 kB from the second epoch on: less than a checkpoint, more than the logs."""

    def before_train_epoch(self, runner):
        if runner.epoch == 1:
            set_file_limit(8192)


def set_file_limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


@pytest.fixture
def lift_file_limit():
    limit = resource.getrlimit(resource.RLIMIT_FSIZE)[0]
    yield lambda: set_file_limit(limit)
    set_file_limit(limit)


def checkpoints(work_dir):
    files = [path.name for path in Path(work_dir).iterdir()]
    return sorted(name for name in files if name.endswith('.pth') or name.startswith('.part-'))


@pytest.mark.parametrize(
    'checkpoint', [dict(), dict(max_keep_ckpts=1), dict(max_keep_ckpts=1, save_best='score', rule='greater')]
)
def test_full_disk_leaves_the_checkpoint_before(tmp_path, make_runner, lift_file_limit, checkpoint):
    validate = 'save_best' in checkpoint
    with pytest.raises(OSError, match='File too large'):
        make_runner(tmp_path, 3, checkpoint, hooks=[FullDisk()], validate=validate).train()
    lift_file_limit()

    assert checkpoints(tmp_path) == ['best_score_epoch_1.pth'] * validate + ['epoch_1.pth']
    assert (tmp_path / 'last_checkpoint').read_text() == str(tmp_path / 'epoch_1.pth')
    assert load_file(tmp_path / 'epoch_1.pth')['meta']['epoch'] == 1

    resumed = make_runner(tmp_path, 3, checkpoint, validate=validate, resume=True)
    resumed.train()
    assert resumed.epoch == 3
    assert 'epoch_3.pth' in checkpoints(tmp_path)


def test_outdated_checkpoints_are_removed(tmp_path, make_runner):
    make_runner(tmp_path, 3, dict(max_keep_ckpts=1, save_best='score', rule='greater'), validate=True).train()
    assert checkpoints(tmp_path) == ['best_score_epoch_3.pth', 'epoch_3.pth']
    assert load_file(tmp_path / 'epoch_3.pth')['meta']['epoch'] == 3


def test_one_name_for_all_checkpoints(tmp_path, make_runner):
    """The outdated file and the new one then have the same name: it must not be removed."""
    make_runner(tmp_path, 2, dict(max_keep_ckpts=1, filename_tmpl='latest.pth')).train()
    assert checkpoints(tmp_path) == ['latest.pth']
    assert load_file(tmp_path / 'latest.pth')['meta']['epoch'] == 2


def test_configs_get_the_safe_hook(tmp_path, make_runner):
    runner = make_runner(tmp_path, 1)
    assert sum(type(hook) is SafeCheckpointHook for hook in runner.hooks) == 1


def test_chosen_backend_is_kept(tmp_path, make_runner):
    chosen = dict(backend='local')
    runner = make_runner(tmp_path, 1, dict(backend_args=chosen, out_dir=str(tmp_path / 'elsewhere')))
    runner.train()
    assert checkpoints(tmp_path / 'elsewhere' / tmp_path.name) == ['epoch_1.pth']


def test_put_is_all_or_nothing(tmp_path, lift_file_limit):
    backend = AtomicLocalBackend()
    path = tmp_path / 'new' / 'folder' / 'file'
    backend.put(b'before', path)
    set_file_limit(1000)
    with pytest.raises(OSError):
        backend.put(bytes(2000), path)
    lift_file_limit()
    assert path.read_bytes() == b'before'
    assert list(path.parent.iterdir()) == [path]


def test_work_dir_that_cannot_be_made_is_named_before_training(tmp_path, make_runner):
    (tmp_path / 'file').write_text('not a folder')
    with pytest.raises(OSError, match='file/run'):
        make_runner(tmp_path / 'file' / 'run', 1)


def test_weights_are_saved_unchanged(tmp_path, make_runner):
    runner = make_runner(tmp_path, 1)
    runner.train()
    saved = load_file(tmp_path / 'epoch_1.pth')['state_dict']
    assert torch.equal(saved['linear.weight'], runner.model.linear.weight.cpu())
