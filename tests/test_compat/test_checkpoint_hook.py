"""No checkpoint is lost, whatever a training is interrupted by or resumes from."""

import logging
import math
import os
import re
import resource
import shutil
import signal
import sys
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import torch
from mmengine.fileio import LocalBackend
from mmengine.hooks import EMAHook, Hook
from mmengine.runner import Runner

from mmdiffperc.compat.checkpoint import find_damage, load_file
from mmdiffperc.compat.checkpoint_folder import CheckpointFolder, latest_checkpoint, recorded_checkpoint
from mmdiffperc.compat.checkpoint_hook import AtomicLocalBackend, SafeCheckpointHook, SafeFlexibleRunner
from mmdiffperc.compat.training_lock import lock_folder


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


def test_no_space_for_a_checkpoint(tmp_path, make_runner, monkeypatch):
    """64 x 64 weights and 64 biases of four bytes are 16,640 bytes."""
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: shutil._ntuple_diskusage(2**40, 2**40 - 16639, 16639))
    runner = make_runner(tmp_path, 1)
    with pytest.raises(OSError, match=r'0\.0 MiB.*work_dir') as caught:
        runner.train()
    assert caught.value.filename == str(tmp_path) and runner.iter == 0 and checkpoints(tmp_path) == []
    monkeypatch.setattr(shutil, 'disk_usage', lambda path: shutil._ntuple_diskusage(2**40, 2**40 - 16640, 16640))
    make_runner(tmp_path, 1).train()
    assert checkpoints(tmp_path) == ['epoch_1.pth']


@pytest.mark.parametrize('runner_class', [Runner, SafeFlexibleRunner])
@pytest.mark.parametrize(
    'checkpoint', [dict(), dict(max_keep_ckpts=1), dict(max_keep_ckpts=1, save_best='score', rule='greater')]
)
def test_full_disk_leaves_the_checkpoint_before(tmp_path, make_runner, lift_file_limit, checkpoint, runner_class):
    validate = 'save_best' in checkpoint
    make_runner = partial(make_runner, runner_class=runner_class)
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


# What a checkpoint names


def content(folder):
    return {path.name: path.read_bytes() for path in Path(folder).glob('*.pth')}


BEST_AND_LAST = dict(max_keep_ckpts=1, save_best='score', rule='greater')


@pytest.mark.parametrize('save_best', ['score', ['score', 'other']])
def test_resuming_in_a_copied_folder_leaves_the_original_alone(tmp_path, make_runner, save_best):
    checkpoint = dict(BEST_AND_LAST, save_best=save_best)
    make_runner(tmp_path / 'a', 1, checkpoint, validate=True).train()
    shutil.copytree(tmp_path / 'a', tmp_path / 'b')
    before = content(tmp_path / 'a')
    make_runner(tmp_path / 'b', 2, checkpoint, validate=True, resume=True).train()
    assert content(tmp_path / 'a') == before
    best = ['best_score_epoch_2.pth'] if save_best == 'score' else ['best_other_epoch_2.pth', 'best_score_epoch_2.pth']
    assert checkpoints(tmp_path / 'b') == [*best, 'epoch_2.pth']


@pytest.mark.parametrize('name', ['victim', 'run/../victim', 'victim/file.pth', 'run/link', 'run/vis', 'run/x.pth'])
def test_checkpoint_cannot_name_what_is_removed(tmp_path, make_runner, name):
    """The best checkpoint of a crafted file is any folder or file, and the next better score would remove it."""
    for folder in ('victim', 'run/vis'):
        (tmp_path / folder).mkdir(parents=True)
        (tmp_path / folder / 'file.pth').touch()
    (tmp_path / 'run' / 'link').symlink_to(tmp_path / 'victim')
    (tmp_path / 'run' / 'x.pth').touch()
    make_runner(tmp_path / 'run', 1, BEST_AND_LAST, validate=True).train()
    crafted = load_file(tmp_path / 'run' / 'epoch_1.pth')
    info = crafted['message_hub']['runtime_info']
    info.update(best_ckpt=str(tmp_path / name), best_score=-1, keep_ckpt_ids=[f'/../{name}', None, 1])
    torch.save(crafted, tmp_path / 'crafted.pth')

    make_runner(
        tmp_path / 'run', 2, BEST_AND_LAST, validate=True, resume=True, load_from=str(tmp_path / 'crafted.pth')
    ).train()
    assert (tmp_path / name).exists()
    assert all((tmp_path / folder / 'file.pth').exists() for folder in ('victim', 'run/vis'))
    assert 'epoch_1.pth' not in checkpoints(tmp_path / 'run'), 'what is outdated goes'


def test_smaller_number_of_checkpoints_on_resuming(tmp_path, make_runner):
    make_runner(tmp_path, 2, dict(max_keep_ckpts=2)).train()
    make_runner(tmp_path, 3, dict(max_keep_ckpts=1), resume=True).train()
    assert checkpoints(tmp_path) == ['epoch_3.pth']


def test_publishing_without_a_best_checkpoint(tmp_path, make_runner):
    checkpoint = dict(save_best=['score', 'other'], rule='greater', published_keys=['meta', 'state_dict'])
    make_runner(tmp_path, 1, checkpoint).train()
    published = [name for name in checkpoints(tmp_path) if name != 'epoch_1.pth']
    assert len(published) == 1 and load_file(tmp_path / published[0]).keys() == {'meta', 'state_dict'}


# Resuming


@pytest.fixture(scope='module')
def trained(tmp_path_factory, make_runner):
    """The work folder of a training of two epochs."""
    folder = tmp_path_factory.mktemp('trained')
    make_runner(folder, 2).train()
    return folder


def resume(folder, make_runner, **kwargs):
    """The epoch that a training resumes at."""
    started = Started()
    make_runner(folder, 3, hooks=[started], resume=True, **kwargs).train()
    return started.epoch


class Started(Hook):
    """Notes the epoch at which a training starts."""

    def before_train(self, runner):
        self.epoch = runner.epoch


def flip_last_weight_bit(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_resumes_though_the_record_is_empty(tmp_path, make_runner, trained):
    shutil.copytree(trained, tmp_path / 'run')
    (tmp_path / 'run' / 'last_checkpoint').write_text('')
    assert resume(tmp_path / 'run', make_runner) == 2


def test_resumes_before_a_damaged_checkpoint(tmp_path, make_runner, trained):
    shutil.copytree(trained, tmp_path / 'run')
    flip_last_weight_bit(tmp_path / 'run' / 'epoch_2.pth')
    with pytest.raises(RuntimeError, match=r'epoch_2\.pth'):
        resume(tmp_path / 'run', make_runner, load_from=str(tmp_path / 'run' / 'epoch_2.pth'))
    assert resume(tmp_path / 'run', make_runner) == 1


def test_resumes_from_another_out_dir(tmp_path, make_runner):
    checkpoint = dict(out_dir=str(tmp_path / 'elsewhere'))
    make_runner(tmp_path / 'run', 1, checkpoint).train()
    (tmp_path / 'run' / 'last_checkpoint').unlink()
    assert resume(tmp_path / 'run', make_runner, checkpoint=checkpoint) == 1


def test_flexible_runner_resumes_before_a_damaged_checkpoint(tmp_path, make_runner, trained):
    shutil.copytree(trained, tmp_path / 'run')
    flip_last_weight_bit(tmp_path / 'run' / 'epoch_2.pth')
    runner = make_runner(tmp_path / 'run', 3, resume=True, runner_class=SafeFlexibleRunner)
    runner.train()
    assert runner._load_from == str(tmp_path / 'run' / 'epoch_1.pth')
    assert load_file(tmp_path / 'run' / 'epoch_3.pth')['meta']['epoch'] == 3


# Kills


CHECKPOINT_FILES = ('epoch_', 'best_', 'last_checkpoint', '.part-')


class KillAtEachStep(Hook):
    """Runs the second epoch in child processes, each killed one change of the checkpoints later than the one before."""

    def __init__(self, check):
        self.check = check
        self.kills = 0

    def before_train_epoch(self, runner):
        if runner.epoch == 0:
            return
        before = f'{runner.work_dir}_before'
        shutil.copytree(runner.work_dir, before)
        while True:
            child = os.fork()
            if not child:
                sys.addaudithook(partial(self.audit, runner.work_dir, iter(range(self.kills))))
                return
            if not os.WIFSIGNALED(os.waitpid(child, 0)[1]):
                return
            self.kills += 1
            self.check(Path(runner.work_dir))
            shutil.rmtree(runner.work_dir)
            shutil.copytree(before, runner.work_dir)

    @staticmethod
    def audit(folder, steps, event, args):
        changes = event in ('os.rename', 'os.remove') or (event == 'open' and str(args[1]).strip('rb'))
        if changes and str(args[0]).startswith(folder) and Path(args[0]).name.startswith(CHECKPOINT_FILES):
            if next(steps, None) is None:
                os.kill(os.getpid(), signal.SIGKILL)


def check_that_nothing_is_lost(run):
    folder = CheckpointFolder(LocalBackend(), str(run), 'epoch_{}.pth')
    latest = latest_checkpoint(run, folder, logging.getLogger('test'))
    assert latest == recorded_checkpoint(run), 'the record is not whole'
    assert load_file(latest)['meta']['epoch'] in (1, 2)
    assert None in map(find_damage, run.glob('best_score_epoch_*.pth')), 'no best checkpoint is whole'


def test_killed_at_any_moment_of_saving(tmp_path, make_runner):
    test, killer = os.getpid(), KillAtEachStep(check_that_nothing_is_lost)
    try:
        make_runner(tmp_path / 'run', 2, BEST_AND_LAST, hooks=[killer], validate=True).train()
    finally:
        if os.getpid() != test:  # a child that was not killed
            os._exit(0)
    assert killer.kills > 15
    assert checkpoints(tmp_path / 'run') == ['best_score_epoch_2.pth', 'epoch_2.pth']


# Weights that are not finite


class Break(Hook):
    """Makes a weight NaN or infinite in the second epoch."""

    def __init__(self, value):
        self.value = value

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.epoch == 1:
            runner.model.linear.bias.data[3] = self.value


@pytest.mark.parametrize('value', [math.nan, math.inf])
def test_weights_that_are_not_finite_replace_nothing(tmp_path, make_runner, value):
    with pytest.raises(FloatingPointError, match=r'linear\.(weight|bias).*state_dict.*epoch_1\.pth'):
        make_runner(tmp_path, 3, BEST_AND_LAST, hooks=[Break(value)], validate=True).train()
    assert checkpoints(tmp_path) == ['best_score_epoch_1.pth', 'epoch_1.pth']
    assert recorded_checkpoint(tmp_path) == str(tmp_path / 'epoch_1.pth')
    assert load_file(tmp_path / 'epoch_1.pth')['meta']['epoch'] == 1


def test_moving_average_that_is_not_finite(tmp_path, make_runner):
    """The average stays NaN where the weights themselves have recovered."""

    class BreakAverage(Hook):
        def after_train_epoch(self, runner):
            average = next(hook for hook in runner.hooks if isinstance(hook, EMAHook))
            average.ema_model.module.linear.weight.data[0, 0] = math.nan

    with pytest.raises(FloatingPointError, match=r'linear\.weight'):
        make_runner(tmp_path, 1, hooks=[dict(type='EMAHook'), BreakAverage()]).train()
    assert checkpoints(tmp_path) == []


# Two trainings in one folder


@contextmanager
def locked_elsewhere(folder):
    """Hold the lock of a folder in another process, which is killed on leaving."""
    ready, write = os.pipe()
    process = os.fork()
    if not process:  # in the child
        try:
            lock = lock_folder(folder)
            os.write(write, b'locked' if lock else b'')
            signal.pause()
        finally:
            os._exit(1)
    os.close(write)
    try:
        assert os.read(ready, 6) == b'locked'
        yield
    finally:
        os.kill(process, signal.SIGKILL)
        os.waitpid(process, 0)
        os.close(ready)


def test_second_training_in_one_folder(tmp_path, make_runner):
    best = dict(save_best='score', rule='greater')
    with locked_elsewhere(tmp_path / 'run'):
        with pytest.raises(RuntimeError, match=re.escape(str(tmp_path / 'run'))):
            make_runner(tmp_path / 'run', 1).train()
        assert checkpoints(tmp_path / 'run') == []
        make_runner(tmp_path / 'run', 2, best, validate=True).val()  # is always allowed
        make_runner(tmp_path / 'other', 1).train()
    make_runner(tmp_path / 'run', 3).train()  # the lock died with its process


def test_second_training_with_one_out_dir(tmp_path, make_runner):
    checkpoint = dict(out_dir=str(tmp_path / 'out'))
    with locked_elsewhere(tmp_path / 'out' / 'run'), pytest.raises(RuntimeError, match='out/run'):
        make_runner(tmp_path / 'run', 1, checkpoint).train()


def test_one_process_trains_again(tmp_path, make_runner):
    """After a training that ended, and after one that failed and still holds its lock."""

    class Fail(Hook):
        def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
            raise ValueError('fails')

    make_runner(tmp_path, 1).train()
    failed = make_runner(tmp_path, 2, hooks=[Fail()], resume=True)
    with pytest.raises(ValueError, match='fails'):
        failed.train()
    make_runner(tmp_path, 3, resume=True).train()
    assert 'epoch_3.pth' in checkpoints(tmp_path)
    assert (tmp_path / '.training.lock').exists(), 'a file that is left over locks nothing'
