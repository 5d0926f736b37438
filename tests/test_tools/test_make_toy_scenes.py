import json
import os
import signal
from pathlib import Path

import child_processes
import pytest

TOOL = Path(__file__).parents[2] / 'tools' / 'make_toy_scenes.py'


@pytest.fixture
def main(monkeypatch):
    """The tool's entry point, imported as a script of its folder would be."""
    monkeypatch.syspath_prepend(str(TOOL.parent))
    from make_toy_scenes import main

    return main


def test_writes_what_is_asked_for(tmp_path, main, capsys):
    sizes = ['--num-train', '2', '--num-val', '1', '--size', '40', '48']
    kind = ['--seed', '7', '--domain', 'b', '--formats', 'nyu', 'ade', '--workers', '2']
    assert main([str(tmp_path / 'out'), *sizes, *kind]) == 0
    shown = capsys.readouterr()
    assert 'written' in shown.out and '3/3' in shown.err
    assert json.loads((tmp_path / 'out/toy_scenes.json').read_text()) == dict(
        num_train=2, num_val=1, size=[40, 48], seed=7, domain='b', formats=['ade', 'nyu'], generator=1
    )
    assert len(list((tmp_path / 'out/ade/images/training').iterdir())) == 2


def test_second_run_says_that_it_is_there(tmp_path, main, capsys):
    arguments = [str(tmp_path / 'out'), '--num-train', '1', '--num-val', '1', '--size', '32', '--formats', 'ade']
    assert main(arguments) == main(arguments) == 0
    assert 'already there' in capsys.readouterr().out
    assert main([*arguments, '--seed', '1']) == 1
    assert 'other arguments' in capsys.readouterr().err


@pytest.mark.parametrize(
    ('extra', 'message'),
    [
        (['--size', '16'], 'size=16: expected'),
        (['--num-val', '0'], 'num_val=0: expected'),
        (['--domain', 'z'], "domain='z': expected"),
        (['--formats', 'voc'], "formats[0]='voc': expected"),
    ],
)
def test_bad_arguments_end_with_one_clear_line(tmp_path, main, capsys, extra, message):
    assert main([str(tmp_path / 'out'), '--num-train', '1', *extra]) == 1
    error = capsys.readouterr().err
    assert error.startswith('make_toy_scenes: ') and message in error and error.count('\n') == 1
    assert not any(tmp_path.iterdir())


@pytest.mark.parametrize('number', [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_ended_by_a_signal(tmp_path, main, number):
    """No worker goes on, and nothing is left behind, of a killed run after the next one."""
    arguments = [str(tmp_path / 'out'), '--num-val', '1', '--size', '32', '--formats', 'nyu', '--workers', '2']
    process = child_processes.fork(lambda: main([*arguments, '--num-train', '10000']))
    assert child_processes.wait_until(lambda: [*tmp_path.glob('*/nyu/images/train/*.png')])
    workers = child_processes.children_of(process)
    os.kill(process, number)
    status = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
    assert child_processes.wait_until(lambda: not any(map(child_processes.is_running, workers)))
    if number == signal.SIGKILL:
        assert status == -number and len(os.listdir(tmp_path)) == 1
    else:
        assert status == 130 and not os.listdir(tmp_path)
    assert main([*arguments, '--num-train', '1']) == 0
    assert os.listdir(tmp_path) == ['out']
