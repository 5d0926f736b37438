import json
import subprocess
import sys
from pathlib import Path

import pytest

TOOL = Path(__file__).parents[2] / 'tools' / 'make_toy_scenes.py'


@pytest.fixture
def main(monkeypatch):
    """The tool's entry point, imported as a script of its folder would be."""
    monkeypatch.syspath_prepend(str(TOOL.parent))
    from make_toy_scenes import main

    return main


def test_runs_as_a_command(tmp_path):
    command = [
        sys.executable,
        str(TOOL),
        str(tmp_path / 'out'),
        '--num-train',
        '2',
        '--num-val',
        '1',
        '--size',
        '40',
        '48',
        '--seed',
        '7',
        '--domain',
        'b',
        '--formats',
        'nyu',
        'ade',
        '--workers',
        '2',
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=TOOL.parents[1], check=False)
    assert done.returncode == 0, done.stderr
    assert 'written' in done.stdout and '3/3' in done.stderr
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
        (['--workers', '0'], 'workers'),
    ],
)
def test_bad_arguments_end_with_one_clear_line(tmp_path, main, capsys, extra, message):
    assert main([str(tmp_path / 'out'), '--num-train', '1', *extra]) == 1
    error = capsys.readouterr().err
    assert error.startswith('make_toy_scenes: ') and message in error and error.count('\n') == 1
    assert not any(tmp_path.iterdir())
