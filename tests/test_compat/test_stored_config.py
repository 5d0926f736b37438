"""The config inside a checkpoint is text: neither resuming nor an inferencer executes it."""

import contextlib

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.infer import BaseInferencer
from mmengine.registry import MODELS
from mmengine.runner import CheckpointLoader, FlexibleRunner

from mmdiffperc.compat.checkpoint import load_file
from mmdiffperc.compat.stored_config import forget_stored_config

# Each creates the file {proof}, if it is executed or built.
CODE = {
    'statement': "__import__('pathlib').Path({proof!r}).touch()",
    'call in a value': "model = dict(type=str(__import__('pathlib').Path({proof!r}).touch()))",
    'dotted type': "model = dict(type='os.mknod', path={proof!r})",
    'custom imports': "custom_imports = dict(imports=['touches_proof'])\nmodel = dict(type='Linear')",
    'base': "_base_ = ['{folder}/touches_proof.py']\nmodel = dict(type='Linear')",
    'lazy base': 'from mmengine.config import read_base\nwith read_base():\n    from .touches_proof import *',
    'deletion': "model = dict(_delete_=True, type=__import__('os').mknod({proof!r}))",
    'template': "name = '{{{{$UNSET:'+str(__import__('os').mknod({proof!r}))+'}}}}'",
    'file template': "name = '{{{{ fileDirname }}}}'\nmodel = dict(type=__import__('os').mknod({proof!r}))",
}
KINDS = {
    'text': lambda code: code,
    'bytes': str.encode,
    'dict': lambda code: ConfigDict(model=code, custom_imports=dict(imports=['touches_proof'])),
}


@pytest.fixture
def proof(tmp_path, monkeypatch):
    """The file that code in a checkpoint creates, also as a module that can be imported."""
    (tmp_path / 'touches_proof.py').write_text(f'__import__("os").mknod({str(tmp_path / "executed")!r})\n')
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / 'executed'


@pytest.fixture(params=CODE)
def code(request, proof):
    return CODE[request.param].format(proof=str(proof), folder=proof.parent)


@pytest.fixture
def checkpoint(make_runner, tmp_path):
    """Return a function that puts a config into the checkpoint of one epoch, wherever mmengine looks for one."""
    make_runner(tmp_path / 'first', 1).train()
    path = tmp_path / 'first' / 'epoch_1.pth'

    def with_config(config):
        content = load_file(path)
        content['meta'] |= dict(config=config, cfg=config)
        content['message_hub']['runtime_info']['cfg'] = config
        content['message_hub']['resumed_keys']['cfg'] = True
        torch.save(content, path)
        return str(path)

    return with_config


class Inferencer(BaseInferencer):
    """As a host's, up to its model."""

    def _init_pipeline(self, cfg):
        return None

    _init_visualizer = _init_collate = _init_pipeline
    visualize = postprocess = None


@pytest.mark.parametrize('given_as', KINDS)
def test_resuming_executes_nothing(checkpoint, make_runner, tmp_path, code, proof, given_as):
    path = checkpoint(KINDS[given_as](code))
    runner = make_runner(tmp_path / 'second', 2, load_from=path, resume=True)
    runner.load_or_resume()
    assert runner.epoch == 1 and not proof.exists()


def test_flexible_runner_executes_nothing(checkpoint, make_runner, tmp_path, proof):
    path = checkpoint(CODE['statement'].format(proof=str(proof)))
    parts = make_runner(tmp_path / 'parts', 2)
    runner = FlexibleRunner(
        model=parts.model,
        work_dir=str(tmp_path / 'second'),
        train_dataloader=parts._train_dataloader,
        train_cfg=dict(by_epoch=True, max_epochs=2),
        optim_wrapper=dict(optimizer=dict(type='AdamW', lr=1e-3)),
        param_scheduler=parts.param_schedulers,
        load_from=path,
        resume=True,
        experiment_name='flexible',
        log_level='ERROR',
    )
    runner.train()
    assert runner.epoch == 2 and not proof.exists()


@pytest.mark.parametrize('given_as', KINDS)
def test_an_inferencer_asks_for_a_config(checkpoint, code, proof, given_as):
    with pytest.raises(ValueError, match=r'Inferencer.*epoch_1\.pth'):
        Inferencer(weights=checkpoint(KINDS[given_as](code)), device='cpu')
    assert not proof.exists()


def test_an_inferencer_with_a_config_works(checkpoint, proof, make_runner):
    MODELS.register_module(name='RegressionOfTest', module=type(make_runner(proof.parent, 1).model), force=True)
    path = checkpoint(CODE['statement'].format(proof=str(proof)))
    inferencer = Inferencer(Config(dict(model=dict(type='RegressionOfTest'))), path, device='cpu')
    torch.testing.assert_close(inferencer.model.linear.bias, load_file(path)['state_dict']['linear.bias'])
    assert not proof.exists()


def test_a_resumed_run_saves_its_own_config(checkpoint, make_runner, tmp_path, proof):
    path = checkpoint(CODE['statement'].format(proof=str(proof)))
    make_runner(tmp_path / 'second', 2, load_from=path, resume=True, cfg=dict(mine=7)).train()
    saved = load_file(tmp_path / 'second' / 'epoch_2.pth')
    assert 'mine=7' in saved['message_hub']['runtime_info']['cfg'].replace(' ', '')
    assert str(proof) not in saved['message_hub']['runtime_info']['cfg'] + saved['meta']['cfg']


@pytest.mark.parametrize('gpu_ids', ['range(0, 2)', '[0, 1]', '[\n    0,\n    1,\n]'])
def test_another_number_of_gpus_is_still_noticed(checkpoint, make_runner, tmp_path, proof, gpu_ids):
    path = checkpoint(f'lr = 1\ngpu_ids = {gpu_ids}\n' + CODE['statement'].format(proof=str(proof)))
    with pytest.raises(RuntimeError, match='GPUs'):
        make_runner(tmp_path / 'second', 2, load_from=path, resume=True).load_or_resume()
    assert not proof.exists()


def test_the_text_stays_for_people(checkpoint):
    assert CheckpointLoader.load_checkpoint(checkpoint('lr = 1'), 'cpu')['meta']['cfg'] == 'lr = 1'


@pytest.mark.parametrize('config', ['gpu_ids = range(0, 99999999999)', 'gpu_ids = [0, exit()]', 7, None])
def test_other_numbers_of_gpus_are_ignored(config):
    checkpoint = dict(meta=dict(config=config), message_hub=dict(runtime_info=None))
    forget_stored_config(checkpoint)
    assert checkpoint == dict(meta={}, message_hub=dict(runtime_info=None))


def test_the_code_is_real(code, proof):
    """Executed and built, each creates the file, so that the tests above can fail."""
    path = proof.parent / 'config.py'
    path.write_text(code)
    with contextlib.suppress(Exception):  # what becomes of it does not matter
        MODELS.build(Config.fromfile(path).model)
    assert proof.exists()
