import json
import os
import re
import signal
from pathlib import Path

import child_processes
import pytest
from make_toy_scenes import main
from mmengine.config import Config

ROOT = Path(__file__).parents[2]


def test_writes_what_is_named(tmp_path, capsys):
    sizes = ['--num-train', '2', '--num-val', '1', '--size', '40', '48']
    options = ['--formats', 'nyu_b', 'ade', '--domain', 'd', '--workers', '2']
    assert main(['--out', str(tmp_path), *sizes, '--seed', '7', *options]) == 0
    shown = capsys.readouterr()
    assert f'{tmp_path / "ade"}: written' in shown.out and '4/4' in shown.err
    for name, domain in (('ade', 'd'), ('nyu_b', 'b')):
        assert json.loads((tmp_path / name / 'toy_scenes.json').read_text()) == dict(
            num_train=2, num_val=1, size=[40, 48], seed=7, domain=domain, generator=2
        )
    assert len(list((tmp_path / 'ade/images/training').iterdir())) == 2


def test_without_options_it_makes_what_the_configs_read(tmp_path, monkeypatch):
    """The folders are those that the smaller toy configs name, and each config names the folder that it reads."""
    monkeypatch.chdir(tmp_path)
    assert main(['--num-train', '1', '--num-val', '1', '--size', '32']) == 0
    configs = [path for path in ROOT.rglob('configs/**/*_toy-*-128x*.py') if '_base_' not in path.parts]
    assert len(configs) > 30
    roots = set()
    for path in configs:
        if base := re.search(r"^_base_ = '\./(.*)'$", path.read_text(), re.MULTILINE):  # has the data of that one
            assert format_of(base[1]) == format_of(path.name)
            continue
        cfg = Config.fromfile(path, import_custom_modules=False)
        train, *others = (Path(cfg[f'{phase}_dataloader'].dataset.data_root) for phase in ('train', 'val', 'test'))
        assert train == Path('data/toy', format_of(path.name))
        roots |= {train, *others, *([Path(cfg.captions_root)] if 'captions_root' in cfg else [])}
    assert roots == set(Path('data/toy').iterdir())


def format_of(name):
    return re.search('_toy-([a-z]+)-', name)[1]


def test_second_run_says_that_it_is_there(tmp_path, capsys):
    arguments = ['--out', str(tmp_path), '--num-train', '1', '--num-val', '1', '--size', '32', '--formats', 'ade']
    assert main(arguments) == main(arguments) == 0
    assert 'ade: already there' in capsys.readouterr().out
    assert main([*arguments, '--seed', '1']) == 1
    assert "'seed': 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ('extra', 'message'),
    [
        (['--size', '16'], 'size=16: expected'),
        (['--num-val', '0'], 'num_val=0: expected'),
    ],
)
def test_bad_arguments_end_with_one_clear_line(tmp_path, capsys, extra, message):
    assert main(['--out', str(tmp_path), '--num-train', '1', *extra]) == 1
    error = capsys.readouterr().err
    assert error.startswith('make_toy_scenes: ') and message in error and error.count('\n') == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ended_by_a_signal(tmp_path, number):
    """No worker goes on, and nothing is left behind, of a killed run after the next one."""
    arguments = ['--out', str(tmp_path), '--num-val', '1', '--size', '32', '--formats', 'nyu', '--workers', '2']
    process = child_processes.fork(lambda: main([*arguments, '--num-train', '10000']))
    assert child_processes.wait_until(lambda: [*tmp_path.glob('*/images/train/*.png')])
    workers = child_processes.children_of(process)
    os.kill(process, number)
    status = child_processes.exit_code(process)
    assert child_processes.wait_until(lambda: not any(map(child_processes.is_running, workers)))
    if number == signal.SIGKILL:
        assert status == -number and len(os.listdir(tmp_path)) == 1
    else:
        assert status == 130 and not os.listdir(tmp_path)
    assert main([*arguments, '--num-train', '1']) == 0
    assert os.listdir(tmp_path) == ['nyu']
