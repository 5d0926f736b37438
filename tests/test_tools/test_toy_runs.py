"""The runs that the tools compare differ in one thing; their commands end with the tool that has started them."""

import os
import signal
import subprocess

import child_processes
import pytest
import toy_runs
from mmengine.config import Config
from pages import ROOT
from toy_runs import TASKS

from mmdiffperc.command_line import one_line_errors


def test_pairs_differ_in_the_weights_of_the_unet_only():
    for name, task in TASKS.items():
        if name.startswith('dmp'):
            continue
        first, *_, second = task.configs.values()
        first, second = Config.fromfile(ROOT / first), Config.fromfile(ROOT / second)
        assert first.model.backbone.init_cfg == dict(type='Pretrained', checkpoint='tiny-sd')
        assert second.model.backbone.init_cfg.pop('components') == ('vae',)
        assert first.model == second.model and first.optim_wrapper == second.optim_wrapper
        assert first.train_dataloader == second.train_dataloader


def test_runs_of_meta_prompts_differ_in_one_thing():
    three, two, one, classes, _ = (Config.fromfile(ROOT / path) for path in TASKS['metaprompts'].configs.values())
    assert [config.model.backbone.pop('num_refine_steps') for config in (three, two, one, classes)] == [3, 2, 1, 3]
    assert three.model == two.model == one.model
    assert classes.model.backbone.pop('prompts').type == 'ClassPrompts'
    assert three.model.backbone.pop('prompts').type == 'MetaPrompts'
    assert classes.model.backbone == three.model.backbone
    assert three.train_dataloader == two.train_dataloader == one.train_dataloader == classes.train_dataloader


@pytest.mark.parametrize('target', ['normals', 'depth', 'albedo', 'shading', 'segmentation'])
def test_runs_of_dmp_differ_in_one_thing(target):
    dmp, regression, random = (Config.fromfile(ROOT / path) for path in TASKS[f'dmp-{target}'].configs.values())
    assert ('loss_on' in dmp.model, regression.model.loss_on) == (False, 'pixels')
    assert regression.model.lora == dmp.model.lora == dict(r=16) and random.model.lora is None
    assert random.model.init_cfg.pop('components') == ('vae', 'text_encoder')
    assert random.model.init_cfg == regression.model.init_cfg == dmp.model.init_cfg
    assert random.model | dict(lora=dmp.model.lora) == dmp.model
    assert random.optim_wrapper.optimizer.pop('lr') == 1e-3  # of all weights
    random.optim_wrapper.optimizer.lr = dmp.optim_wrapper.optimizer.lr
    for config in (regression, random):
        assert config.optim_wrapper == dmp.optim_wrapper and config.train_dataloader == dmp.train_dataloader
    assert 'data/toy/dmp_b' == dmp.test_dataloader.dataset.data_root != dmp.val_dataloader.dataset.data_root


def test_commands_end_with_the_tool(tmp_path):
    """So do the processes that a command has started, as mim starts the training."""

    @one_line_errors()
    def main(arguments):
        toy_runs.run(
            'sh', '-c', f'sleep 1000 & echo $! > {tmp_path}/new; sleep 0.3; mv {tmp_path}/new {tmp_path}/started; wait'
        )

    process = child_processes.fork(lambda: main(None))
    assert child_processes.wait_until((tmp_path / 'started').exists)
    started = int((tmp_path / 'started').read_text())
    assert child_processes.is_running(started)
    os.kill(process, signal.SIGTERM)
    assert child_processes.exit_code(process) == 130
    assert child_processes.wait_until(lambda: not child_processes.is_running(started))


def test_a_command_that_fails():
    with pytest.raises(subprocess.CalledProcessError, match='status 3'):
        toy_runs.run('sh', '-c', 'exit 3')
