"""``docs/training.md``: its settings do what it says, in one training with all of them, and its commands run."""

import json
import runpy
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import VISUALIZERS, init_default_scope
from mmengine.runner import Runner
from pages import ROOT, commands, run_snippet, snippet
from toy_experiments.tasks import TASKS

from mmdiffperc.compat.checkpoint import load_file

PAGE = (ROOT / 'docs' / 'training.md').read_text()
BASE = "'configs/vpd/vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py'"
TRAINED = (
    'config: best checkpoint',
    'config: early stopping',
    'config: averaged weights',
    'config: gradient accumulation',
    'config: stored latents',
    'config: frozen by name',
    'config: profiler',
)
# The page freezes the first by name.
DOWN, UP = 'backbone.unet.down_blocks.0.resnets.0.conv1.weight', 'backbone.unet.up_blocks.3.resnets.0.conv1.weight'


class WeightRecorder(Hook):
    """Copies two weights before the training and after each iteration."""

    def __init__(self):
        self.weights = []

    def before_train(self, runner):
        weights = runner.model.state_dict()
        self.weights.append({name: weights[name].clone() for name in (DOWN, UP)})

    def after_train_iter(self, runner, *_, **__):
        self.before_train(runner)


def chain_configs(folder):
    """Write the configs of the page so that each inherits from the one before; return the last."""
    base = ROOT / BASE.strip("'")
    for name in TRAINED:
        code = snippet(name)
        assert f'_base_ = {BASE}' in code
        file = folder / f'{name.removeprefix("config: ").replace(" ", "_")}.py'
        file.write_text(code.replace(BASE, repr(str(base))))
        base = file
    return base


@pytest.fixture(scope='module')
def training(tmp_path_factory, toy_root):
    """A folder in which a training with all settings of the page has run, and the weights after each iteration."""
    folder = tmp_path_factory.mktemp('training')
    cfg = Config.fromfile(chain_configs(folder))
    options = {f'{part}_dataloader.dataset.data_root': str(toy_root / 'ade') for part in ('train', 'val', 'test')}
    options |= {'work_dir': 'work_dirs/my_config', 'default_hooks.logger.interval': 1}
    options |= {'train_cfg.max_iters': 8, 'train_cfg.val_interval': 2, 'default_hooks.checkpoint.interval': 2}
    options |= {'train_dataloader.batch_size': 2, 'optim_wrapper.accumulative_counts': 2}
    cfg.merge_from_dict(options)
    hooks = {hook.type: hook for hook in cfg.custom_hooks}
    hooks['EarlyStoppingHook'].update(min_delta=100, patience=1)
    hooks['ProfilerHook'].update(profile_times=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        runner = Runner.from_cfg(cfg)
        runner.register_hook(recorder := WeightRecorder())
        runner.train()
    return folder, cfg, recorder.weights


@pytest.fixture
def folder(training, monkeypatch):
    """The folder of the training, as working directory."""
    monkeypatch.chdir(training[0])
    return training[0]


def test_the_training_stops_early_and_keeps_the_best_checkpoint(training):
    folder, _, weights = training
    assert len(weights) == 1 + 4  # of 8: the second validation does not raise the mIoU by 100
    kept = {file.name for file in (folder / 'work_dirs/my_config').glob('*.pth')}
    best = {name for name in kept if name.startswith('best_mIoU_')}
    assert len(best) == 1 and kept - best == {'iter_2.pth', 'iter_4.pth'}


def test_the_optimizer_steps_after_all_accumulated_batches(training):
    initial, first, second, third, fourth = (weights[UP] for weights in training[2])
    assert torch.equal(initial, first) and torch.equal(second, third)
    assert not torch.equal(first, second) and not torch.equal(third, fourth)


def test_latents_are_stored(folder, training):
    """Those of the training, whose images are new ones each time, and of two validations of the same images."""
    validated = len([*Path(training[1].val_dataloader.dataset.data_root).glob('images/validation/*')])
    assert len([*Path('work_dirs/latents').rglob('*.safetensors')]) == 4 * 2 + validated > 8


def test_weights_frozen_by_name_do_not_change(training):
    assert torch.equal(training[2][0][DOWN], training[2][-1][DOWN])
    table = PAGE.partition('```text\n')[2].partition('```')[0].splitlines()
    log = next((training[0] / 'work_dirs/my_config').glob('*/*.log')).read_text()
    assert [row.split() for row in table if row.split() not in [line.split() for line in log.splitlines()]] == []


def test_checkpoints_hold_the_average(training):
    folder, _, weights = training
    checkpoint = load_file(folder / 'work_dirs/my_config/iter_4.pth')
    steps = [record[UP] for record in weights[1:]]
    average = steps[0]
    for weight in steps[1:]:
        average = (1 - 0.002) * average + 0.002 * weight
    torch.testing.assert_close(checkpoint['state_dict'][UP], average, rtol=1e-6, atol=1e-7)
    assert torch.equal(checkpoint['ema_state_dict'][f'module.{UP}'], steps[-1])


def test_the_profiler_writes_a_timeline(folder):
    assert 'aten::addmm' in {event.get('name') for event in json.loads(Path('trace.json').read_text())['traceEvents']}


def test_the_saved_config_is_complete(training):
    folder, cfg, _ = training
    text = (folder / 'work_dirs/my_config/profiler.py').read_text()
    assert '_base_' not in text and Config.fromstring(text, '.py').to_dict() == cfg.to_dict()


def run_script(command, monkeypatch, capsys):
    """Run the script of ``mim run HOST SCRIPT ARGUMENTS``; return what it prints."""
    (folder,) = find_spec(command[2]).submodule_search_locations
    (script,) = Path(folder, '.mim', 'tools').rglob(f'{command[3]}.py')
    monkeypatch.setattr(sys, 'argv', [str(script), *command[4:]])
    monkeypatch.setenv('MPLBACKEND', 'agg')
    capsys.readouterr()
    runpy.run_path(str(script), run_name='__main__')
    return capsys.readouterr().out


def command_of(beginning):
    """Return the words of the page's command that begins like this."""
    (command,) = [line for line in commands() if line.startswith(beginning) and line in PAGE]
    return command.split()


def test_logs_of_a_training_are_read(folder, monkeypatch, capsys):
    scope = run_snippet('run: read a log')
    assert list(scope['losses'].index) == [1, 2, 3, 4] and list(scope['validations'].index) == [2, 4]
    (log,) = Path('work_dirs/my_config').glob('*/vis_data/scalars.json')
    command = command_of('mim run mmseg analyze_logs')
    run_script([str(log) if 'TIME' in word else word for word in command], monkeypatch, capsys)
    assert Path('curves.png').stat().st_size > 1000


@pytest.mark.parametrize(
    ('host', 'loss', 'metric'), [('mmdet', 'loss', 'coco/bbox_mAP'), ('mmpose', 'loss_kpt', 'coco/AP')]
)
def test_logs_of_epochs_are_read(host, loss, metric, tmp_path, monkeypatch, capsys):
    """As mmengine writes them: two iterations and a validation in each epoch."""
    lines = [
        line
        for epoch in (1, 2)
        for line in (
            {loss: 5.0 - epoch, 'time': 0.3, 'epoch': epoch, 'iter': 2 * epoch - 1, 'step': 2 * epoch - 1},
            {loss: 4.5 - epoch, 'time': 0.2, 'epoch': epoch, 'iter': 2 * epoch, 'step': 2 * epoch},
            {metric: 0.1 * epoch, 'step': epoch},
        )
    ]
    log = tmp_path / 'scalars.json'
    log.write_text(''.join(json.dumps(line) + '\n' for line in lines))
    monkeypatch.chdir(tmp_path)
    command = command_of(f'mim run {host} analyze_logs')
    run_script([str(log) if 'TIME' in word else word for word in command], monkeypatch, capsys)
    assert Path('curves.png').stat().st_size > 1000


def test_the_complete_config_is_printed(folder, monkeypatch, capsys):
    command = command_of('mim run mmseg print_config')
    printed = run_script([*command[:-1], 'profiler.py'], monkeypatch, capsys)
    assert 'accumulative_counts=4' in printed and "type='SegDataPreProcessor'" in printed


def test_logging(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ('WANDB_CONFIG_DIR', 'WANDB_CACHE_DIR', 'WANDB_DATA_DIR'):
        monkeypatch.setenv(name, str(tmp_path / 'wandb'))
    Path('my_config.py').write_text(snippet('config: logging').replace(BASE, repr(str(ROOT / BASE.strip("'")))))
    cfg = Config.fromfile('my_config.py')
    cfg.work_dir = 'work'
    init_default_scope(cfg.default_scope)
    visualizer = VISUALIZERS.build(dict(cfg.visualizer, name='logging', save_dir='work'))
    backends = visualizer._vis_backends
    assert list(backends) == [config.type for config in cfg.visualizer.vis_backends]
    if not find_spec('mlflow'):  # its current versions and those of the other packages exclude each other
        del backends['MLflowVisBackend']
    visualizer.add_config(cfg)
    visualizer.add_scalars(dict(loss=2.5), step=3)
    visualizer.close()

    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator('work/vis_data').Reload()
    assert [(event.step, event.value) for event in events.Scalars('loss')] == [(3, 2.5)]
    (run,) = Path('work/vis_data/wandb').glob('offline-run-*/*.wandb')
    assert b'loss' in run.read_bytes()
    assert Path('mlflow.db').is_file() == ('MLflowVisBackend' in backends)


@pytest.mark.parametrize(
    ('row', 'task'),
    [
        ('semantic segmentation', 'segmentation'),
        ('depth estimation', 'depth'),
        ('referring segmentation', 'referring'),
        ('pose estimation', 'pose'),
        ('detection, instance segmentation', 'detection'),
        ('DMP: normals', 'dmp-normals'),
        ('DMP: albedo, shading', 'dmp-albedo'),
    ],
)
def test_metrics_have_the_names_on_the_page(row, task):
    names = [line.split('|')[2] for line in PAGE.splitlines() if line.startswith(f'| {row} |')]
    metrics = {name.strip().strip('`') for text in names for name in text.split(',')}
    assert metrics and metrics <= set(TASKS[task].metrics)
