"""A run that is killed and resumed ends with the weights of one that is not."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.datasets.toy_scenes.writers import DatasetSpec, write_dataset
from mmdiffperc.hooks import RandomStateHook

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / 'configs/vpd/vpd_tiny-sd-fpn_1xb4-1800_toy-128x128.py'
MAX_ITERS, INTERVAL = 7, 2


@pytest.fixture(scope='module')
def config_file(tmp_path_factory) -> Path:
    """The toy config, on a few scenes and for a few iterations; its head has dropout, as the original."""
    folder = tmp_path_factory.mktemp('resume')
    write_dataset(folder / 'toy', DatasetSpec(6, 2, 64, seed=3, domain='a', formats=('ade',)), workers=1)
    cfg = Config.fromfile(CONFIG)
    for loader in ('train_dataloader', 'val_dataloader'):
        cfg[loader].dataset.data_root = str(folder / 'toy' / 'ade')
    cfg.train_dataloader.batch_size = 2
    cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=MAX_ITERS, val_interval=MAX_ITERS + 1)
    cfg.default_hooks.checkpoint = dict(type='CheckpointHook', by_epoch=False, interval=INTERVAL)
    assert cfg.model.decode_head.dropout_ratio > 0
    cfg.dump(folder / 'config.py')
    return folder / 'config.py'


def train(config_file: Path, work_dir: Path, resume: bool = False) -> dict:
    cfg = Config.fromfile(config_file)
    cfg.work_dir, cfg.resume = str(work_dir), resume
    cfg.experiment_name = f'{work_dir.name}-{resume}'
    runner = Runner.from_cfg(cfg)
    runner.train()
    return {name: value.clone() for name, value in runner.model.state_dict().items()}


def train_and_kill(config_file: Path, work_dir: Path):
    """Run ``mim train`` and kill all of it once a checkpoint is there."""
    command = [sys.executable, '-m', 'mim', 'train', 'mmseg', str(config_file), '--work-dir', str(work_dir)]
    # One thread, as the tests have: equal sums need equal threads.
    environment = dict(os.environ, PYTHONPATH=str(ROOT), OMP_NUM_THREADS='1')
    process = subprocess.Popen(command, env=environment, start_new_session=True, stdout=subprocess.DEVNULL)
    checkpoint, give_up = work_dir / f'iter_{INTERVAL}.pth', time.monotonic() + 600
    try:
        while not checkpoint.exists():
            assert process.poll() is None, 'the run ended before it could be killed'
            assert time.monotonic() < give_up, 'no checkpoint'
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    assert not (work_dir / f'iter_{MAX_ITERS}.pth').exists(), 'the run ended before it was killed'


def test_resumed_after_sigkill_equals_undisturbed(config_file, tmp_path):
    undisturbed = train(config_file, tmp_path / 'undisturbed')
    train_and_kill(config_file, tmp_path / 'killed')
    resumed = train(config_file, tmp_path / 'killed', resume=True)

    start = load_file(tmp_path / 'undisturbed' / f'iter_{INTERVAL}.pth')['state_dict']
    changed = [name for name, value in undisturbed.items() if not torch.equal(value, start[name])]
    assert any(name.startswith('backbone.unet') for name in changed)
    for name, value in undisturbed.items():
        assert torch.equal(value, resumed[name]), name


def test_states_that_were_loaded_to_a_gpu_come_back(monkeypatch):
    """mmengine loads a checkpoint to the model's device, but torch takes states from the CPU alone."""

    class OnGpu(SimpleNamespace):
        def cpu(self):
            return self.state

    state, restored = torch.get_rng_state(), []
    expected = torch.rand(3)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: 1)
    monkeypatch.setattr(torch.cuda, 'set_rng_state_all', restored.extend)
    hook = RandomStateHook()
    hook.after_load_checkpoint(None, dict(random_state=dict(cpu=OnGpu(state=state), cuda=[OnGpu(state='gpu')] * 2)))
    hook.before_train_iter(SimpleNamespace(iter=4, world_size=1), 4)
    assert torch.equal(torch.rand(3), expected) and restored == ['gpu']
