"""The command ``mmdiffperc``: what it imports, and that it runs the tools."""

import json
import subprocess
import sys
from pathlib import Path
from typing import get_args

import host_script
import import_published
import make_toy_scenes
import mmcv
import mmseg
import probe_taps
import pytest
import test as test_tool
import train
from environments import write_distribution

from mmdiffperc.generative.published import Modality
from mmdiffperc.models.config_checks import NUM_TIMESTEPS
from mmdiffperc.models.layers.latent_noise import NoiseKind
from mmdiffperc.toy_scenes.domains import DOMAINS
from mmdiffperc.toy_scenes.writers import FORMATS, READ_BY_CONFIGS
from mmdiffperc_cli.main import COMMANDS, main
from mmdiffperc_cli.shipped import PACKAGE, TOOLS

ROOT = Path(__file__).parents[2]
CONFIG = 'vpd_tiny-sd-fpn_1xb4-1800_toy-ade-128x128.py'
HEAVY = {'torch', 'transformers', 'peft', 'diffusers', 'gradio', 'mmdiffperc'}
ANSWERS = """
import contextlib, io, json, sys
from mmdiffperc_cli.main import main
for arguments in json.loads(sys.argv[1]):
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(out):
        try:
            main(arguments)
        except SystemExit as left:
            status = left.code
    print(json.dumps([status, out.getvalue(), list(sys.modules)]))
"""


def test_help_and_wrong_arguments_are_answered_at_once():
    """That of every command, in one process; the modules add up."""
    lines = [['--help'], [], ['typo'], ['predict', CONFIG], ['predict', CONFIG, 'a.pth', 'a.png', '--batch-size', '0']]
    lines += [[name, option] for name in COMMANDS for option in ('--help', '--typo')]
    run = subprocess.run([sys.executable, '-c', ANSWERS, json.dumps(lines)], capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    for arguments, answer in zip(lines, map(json.loads, run.stdout.splitlines()), strict=True):
        status, text, modules = answer
        assert status == (0 if '--help' in arguments else 2), arguments
        assert not HEAVY & set(modules), arguments
        assert 'usage: ' in text and (len(arguments) < 2 or arguments[0] in text)


def test_commands_are_files_that_ship():
    for name, command in COMMANDS.items():
        assert (command.folder / f'{command.module.replace(".", "/")}.py').is_file(), name
    assert {PACKAGE, TOOLS} == {command.folder for command in COMMANDS.values()}
    assert {'predict', 'app', 'convert', 'swap', 'doctor', 'benchmark', 'demo', 'toy-scenes'} < COMMANDS.keys()


def test_a_command_is_its_tool(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['mmdiffperc'])
    monkeypatch.setattr(sys, 'path', [*sys.path])
    arguments = ['--formats', 'ade', '--num-train', '1', '--num-val', '1', '--size', '32', '--out', str(tmp_path)]
    assert main(['toy-scenes', *arguments]) == 0
    assert f'{tmp_path}/ade: written' in capsys.readouterr().out
    assert main(['swap', CONFIG, '--out-file', __file__]) == 1
    assert '--force' in capsys.readouterr().err


def test_choices_are_those_of_the_package():
    assert tuple(DOMAINS) == make_toy_scenes.DOMAINS
    assert tuple(FORMATS) == make_toy_scenes.FORMATS
    assert READ_BY_CONFIGS == make_toy_scenes.READ_BY_CONFIGS
    assert get_args(NoiseKind) == probe_taps.NOISE_KINDS and NUM_TIMESTEPS == probe_taps.NUM_TIMESTEPS
    assert get_args(Modality) == import_published.MODALITIES


@pytest.mark.parametrize(('tool', 'option'), [(train, '--amp'), (test_tool, '--tta')])
def test_training_and_testing_have_the_options_of_the_host(tool, option, capsys, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['mmdiffperc'])
    with pytest.raises(SystemExit) as left:
        tool.main([CONFIG, '--help'])
    assert left.value.code == 0 and option in capsys.readouterr().out
    assert Path(sys.argv[1]).samefile(ROOT / 'configs/vpd' / CONFIG)


def test_arguments_of_the_launcher_and_of_the_host():
    """torch.distributed.launch puts its own before the others."""
    args = train.build_parser().parse_args(['--local-rank=1', CONFIG, '--launcher', 'pytorch'])
    assert (Path(args.config).name, args.arguments) == (CONFIG, ['--launcher', 'pytorch'])


def error_for_scope(scope, folder, capsys):
    """What ``train.py`` says about a config with this default scope."""
    (folder / 'config.py').write_text(f'default_scope = {scope!r}')
    with pytest.raises(SystemExit):
        train.main([str(folder / 'config.py')])
    return capsys.readouterr().err.splitlines()[-1]


def test_the_script_of_a_host(tmp_path, capsys, monkeypatch):
    script = host_script.find_script(str(ROOT / 'configs/vpd' / CONFIG), 'train.py')
    assert script == Path(mmseg.__file__).parent / '.mim/tools/train.py'
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / 'folder').mkdir()
    for host in ('mmengine', 'nowhere', 'folder', None):
        error = error_for_scope(host, tmp_path, capsys)
        assert 'default_scope' in error and str(host) in error


def test_a_host_that_cannot_be_imported(tmp_path, capsys, monkeypatch):
    """It is missing, or refuses the version of mmcv."""
    monkeypatch.setitem(sys.modules, 'mmdet', None)
    assert error_for_scope('mmdet', tmp_path, capsys).endswith("pip install 'mmdiffperc[det]'")
    write_distribution(tmp_path, 'mmcv', '2.2.0')
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(mmcv, '__version__', '2.2.0')
    monkeypatch.delitem(sys.modules, 'mmseg')
    error = error_for_scope('mmseg', tmp_path, capsys)
    assert 'mmcv 2.2.0' in error and error.endswith("pip install 'mmcv-lite<2.2'")
