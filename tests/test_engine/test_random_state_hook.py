"""A run that is stopped and resumed ends with the weights of one that is not."""

import os
import random
import signal
from itertools import count
from pathlib import Path

import child_processes
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.evaluator import BaseMetric
from mmengine.hooks import Hook
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import nn
from torch.utils.data import Dataset

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.engine import RandomStateHook
from mmdiffperc.toy_scenes.writers import DatasetSpec, write_dataset

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/vpd/vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py'
MAX_EPOCHS = 3

names = count()


class Augmented(Dataset):
    """Six samples, to which each of the three generators of random numbers adds noise."""

    def __len__(self):
        return 6

    def __getitem__(self, index):
        noise = torch.tensor([random.random(), np.random.rand(), torch.rand(()).item()])
        return dict(x=index + noise)


class Dropped(BaseModel):
    """A layer whose inputs are dropped at random, in training and, as diffusion samples noise, in validation too."""

    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 4)

    def forward(self, x, mode='loss'):
        residual = self.linear(nn.functional.dropout(x, 0.4))
        return dict(loss=residual.square().mean()) if mode == 'loss' else [residual]


class LastScore(BaseMetric):
    """The last residual, which depends on what was drawn; the score is better at each evaluation."""

    def process(self, data_batch, data_samples):
        self.results.append(float(data_samples[0].sum()))

    def compute_metrics(self, results):
        np.random.rand(random.randint(1, 5))  # an evaluation that draws numbers, too
        return dict(score=random.random(), last=results[-1])


class StopAt(Hook):
    """The power fails in the middle of an iteration."""

    class Stopped(Exception):
        pass

    def __init__(self, iteration):
        self.iteration = iteration

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        if runner.iter == self.iteration:
            raise self.Stopped


def make_runner(work_dir, by_epoch, *hooks, resume=False, validate=True, loader=None, checkpoint=None, **options):
    loader = dict(dataset=Augmented(), batch_size=2, collate_fn=dict(type='default_collate')) | (loader or {})
    sampler = 'DefaultSampler' if by_epoch else 'InfiniteSampler'
    schedule = dict(max_epochs=4) if by_epoch else dict(max_iters=12, val_interval=3)
    validation = dict(
        val_dataloader=dict(loader, sampler=dict(type='DefaultSampler', shuffle=False)),
        val_cfg=dict(),
        val_evaluator=[LastScore()],
    )
    checkpoint = dict(type='CheckpointHook', by_epoch=by_epoch, interval=1 if by_epoch else 3) | (checkpoint or {})
    torch.manual_seed(3)
    return Runner(
        model=Dropped(),
        work_dir=str(work_dir),
        train_dataloader=dict(loader, sampler=dict(type=sampler, shuffle=True)),
        train_cfg=dict(by_epoch=by_epoch, **schedule),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-1)),
        default_hooks=dict(checkpoint=checkpoint, logger=None),
        custom_hooks=[dict(type='RandomStateHook'), *hooks],
        resume=resume,
        experiment_name=f'random-{next(names)}',
        log_level='ERROR',
        **{**dict(randomness=dict(seed=5)), **options},
        **(validation if validate else {}),
    )


def train(runner):
    try:
        runner.train()
    finally:
        # The garbage collector would wait 5 s for each persistent worker.
        runner.train_loop.dataloader._iterator = None
    return {name: value.clone() for name, value in runner.model.state_dict().items()}


def stop_and_resume(folder, by_epoch, **options):
    """The weights of a run that stops in its eighth iteration, one after a checkpoint, and is resumed."""
    with pytest.raises(StopAt.Stopped):
        train(make_runner(folder, by_epoch, StopAt(7), **options))
    return train(make_runner(folder, by_epoch, resume=True, **options))


def assert_equal(found, expected):
    for name, value in expected.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize('validate', [True, False])
@pytest.mark.parametrize('by_epoch', [True, False])
def test_resumed_run_equals_the_undisturbed_one(by_epoch, validate, tmp_path):
    undisturbed = train(make_runner(tmp_path / 'undisturbed', by_epoch, validate=validate))
    assert_equal(stop_and_resume(tmp_path / 'stopped', by_epoch, validate=validate), undisturbed)
    other_seed = train(make_runner(tmp_path / 'other', by_epoch, validate=validate, randomness=dict(seed=6)))
    assert not torch.equal(other_seed['linear.bias'], undisturbed['linear.bias'])


def test_persistent_workers_draw_the_same_when_resumed(tmp_path):
    options = dict(by_epoch=True, validate=False, loader=dict(num_workers=2, persistent_workers=True))
    assert_equal(stop_and_resume(tmp_path / 'stopped', **options), train(make_runner(tmp_path / 'whole', **options)))


def test_workers_draw_different_numbers_in_each_epoch(tmp_path):
    """mmengine gives the workers of each epoch the same seed."""

    class KeepBatches(Hook):
        batches = {}

        def before_train_iter(self, runner, batch_idx, data_batch=None):
            self.batches[runner.iter] = data_batch['x'] % 1  # the noise without the sample

    runner = make_runner(tmp_path, True, KeepBatches(), validate=False, loader=dict(num_workers=1))
    runner.train()
    first, second = KeepBatches.batches[0], KeepBatches.batches[3]
    assert not torch.isclose(first, second, atol=1e-5).any()


@pytest.mark.parametrize('by_epoch', [True, False])
def test_run_without_a_seed_resumes_with_that_of_its_checkpoint(by_epoch, tmp_path):
    """The order of the data included, which mmengine shuffles by the new seed."""
    seedless = dict(randomness=dict(seed=None), validate=False)
    first = make_runner(tmp_path / 'stopped', by_epoch, StopAt(7), **seedless)
    with pytest.raises(StopAt.Stopped):
        first.train()
    resumed = train(make_runner(tmp_path / 'stopped', by_epoch, resume=True, **seedless))
    undisturbed = make_runner(tmp_path / 'undisturbed', by_epoch, randomness=dict(seed=first.seed), validate=False)
    assert_equal(resumed, train(undisturbed))


def test_checkpoint_of_the_middle_of_an_epoch_is_warned_of(tmp_path, monkeypatch):
    warnings = []
    checkpoint = dict(by_epoch=False, interval=2)
    with pytest.raises(StopAt.Stopped):
        make_runner(tmp_path, True, StopAt(5), checkpoint=checkpoint).train()
    runner = make_runner(tmp_path, True, resume=True, checkpoint=checkpoint)
    monkeypatch.setattr(runner.logger, 'warning', warnings.append)
    runner.train()
    (warning,) = [warning for warning in warnings if 'RandomStateHook' in warning]
    assert 'epoch 2' in warning and 'iteration 4' in warning


def test_checkpoints_with_the_states_of_earlier_releases_still_resume(tmp_path):
    with pytest.raises(StopAt.Stopped):
        make_runner(tmp_path, True, StopAt(7)).train()
    checkpoint = load_file(tmp_path / 'epoch_2.pth')
    states = dict(cpu=torch.get_rng_state(), cuda=[])
    torch.save(dict(checkpoint, random_state=states), tmp_path / 'epoch_2.pth')
    assert_equal(train(make_runner(tmp_path, True, resume=True)), train(make_runner(tmp_path / 'whole', True)))


@pytest.mark.parametrize('seed', ['__import__("os")', -1, 2**32, [1]])
def test_malformed_seed_is_refused(seed):
    with pytest.raises(ValueError, match='seed'):
        RandomStateHook().after_load_checkpoint(None, dict(meta=dict(seed=seed)))


def test_checkpoint_of_other_software_has_no_seed(tmp_path):
    torch.save(dict(state_dict=Dropped().state_dict(), meta=dict(author='none')), tmp_path / 'other.pth')
    runner = make_runner(tmp_path / 'run', False, validate=False, load_from=str(tmp_path / 'other.pth'))
    seed = runner.seed
    train(runner)
    assert runner.seed == seed


@pytest.fixture
def config_file(tmp_path) -> Path:
    """A toy config on a few scenes, for a few epochs; its head has dropout, and its images are cropped at random."""
    write_dataset(tmp_path / 'toy', DatasetSpec(6, 2, 64, seed=3, formats=('ade',)))
    cfg = Config.fromfile(CONFIG)
    for loader in ('train_dataloader', 'val_dataloader'):
        cfg[loader].dataset.data_root = str(tmp_path / 'toy' / 'ade')
    cfg.train_dataloader.batch_size = 2
    cfg.train_dataloader.sampler.type = 'DefaultSampler'
    cfg.train_cfg = dict(type='EpochBasedTrainLoop', max_epochs=MAX_EPOCHS)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', interval=1)
    assert cfg.model.decode_head.dropout_ratio > 0
    cfg.dump(tmp_path / 'config.py')
    return tmp_path / 'config.py'


def train_config(config_file: Path, work_dir: Path, resume: bool = False) -> dict:
    cfg = Config.fromfile(config_file)
    cfg.work_dir, cfg.resume = str(work_dir), resume
    cfg.experiment_name = f'{work_dir.name}-{resume}'
    return train(Runner.from_cfg(cfg))


def train_and_kill(config_file: Path, work_dir: Path):
    """Train in another process and kill it, with its workers, once a checkpoint is there."""

    def train_in_a_group():
        os.setsid()
        train_config(config_file, work_dir)

    process = child_processes.fork(train_in_a_group)
    try:
        found = child_processes.wait_until((work_dir / 'epoch_1.pth').exists)
    finally:
        os.killpg(process, signal.SIGKILL)
        os.waitpid(process, 0)
    assert found and not (work_dir / f'epoch_{MAX_EPOCHS}.pth').exists(), 'the run ended before it was killed'


def test_config_resumed_after_sigkill_equals_undisturbed(config_file, tmp_path):
    undisturbed = train_config(config_file, tmp_path / 'undisturbed')
    train_and_kill(config_file, tmp_path / 'killed')
    resumed = train_config(config_file, tmp_path / 'killed', resume=True)

    start = load_file(tmp_path / 'undisturbed' / 'epoch_1.pth')['state_dict']
    changed = [name for name, value in undisturbed.items() if not torch.equal(value, start[name])]
    assert any(name.startswith('backbone.unet') for name in changed)
    assert_equal(resumed, undisturbed)
