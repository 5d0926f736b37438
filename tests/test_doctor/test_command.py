"""The report, and the program as a whole: in this environment, and in one that has nothing."""

import os
import runpy
import subprocess
import sys
import venv
from pathlib import Path

import pytest
from child_processes import exit_code, fork
from environments import imports, installed, machine, missing

import mmdiffperc
from mmdiffperc.doctor.command import write_report
from mmdiffperc.doctor.findings import Finding
from mmdiffperc.doctor.imports import Outcome
from mmdiffperc.doctor.packages import PACKAGES
from mmdiffperc_cli.main import main

ROOT = Path(__file__).parents[2]
DOCTOR = ROOT / 'mmdiffperc' / 'doctor'
COMPAT = Path(mmdiffperc.__file__).parent / 'compat'


@pytest.fixture(scope='module')
def empty_python(tmp_path_factory):
    """A Python without any package."""
    folder = tmp_path_factory.mktemp('empty')
    venv.create(folder, symlinks=True, with_pip=False)
    return folder / 'bin' / 'python'


def run(python, *arguments, cwd=ROOT):
    environment = {name: value for name, value in os.environ.items() if name != 'PYTHONPATH'}
    return subprocess.run([python, *map(str, arguments)], cwd=cwd, env=environment, capture_output=True, text=True)


@pytest.fixture
def forked(monkeypatch):
    """Let the process that imports the packages be a copy of this one, which has imported most of them before."""

    def call(command, env, **options):
        def run_script() -> int:
            os.environ.update(env)
            sys.argv = command[command.index('-P') + 1 :]
            runpy.run_path(sys.argv[0], run_name='__main__')
            return 0

        return exit_code(fork(run_script))

    monkeypatch.setattr(subprocess, 'call', call)


def test_everything_works_here(forked, capsys):
    assert main(['doctor']) == 0
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    for package in PACKAGES:
        assert any(words and (words[0], words[-1]) == (package.module, 'works') for words in lines), package.module
    assert any(words[:1] == ['hub'] and 'HF_HUB_OFFLINE' in words for words in lines)


def test_nothing_is_installed(empty_python, tmp_path):
    """The import fails with the command that tells why, and that command works from any folder."""
    failed = run(empty_python, '-m', 'mmdiffperc', 'doctor')
    command = failed.stderr.splitlines()[-1].rpartition(': ')[2]
    assert failed.returncode == 1 and command == f'{empty_python} {DOCTOR}'
    result = run(*command.split(), cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    lines = result.stdout.splitlines()
    assert lines.count(f"      pip install '{ROOT}'") == 1
    for package in PACKAGES:
        assert [package.module, 'missing'] in [line.split() for line in lines]


def test_help_and_wrong_arguments_need_no_package(empty_python):
    assert 'HF_HUB_OFFLINE' in run(empty_python, DOCTOR, '--help').stdout
    assert run(empty_python, DOCTOR, '--typo').returncode == 2


@pytest.mark.parametrize(
    ('arguments', 'status', 'word'),
    [
        (['--help'], 0, 'doctor'),
        (['doctor', '--help'], 0, 'HF_HUB_OFFLINE'),
        (['doctor', '--typo'], 2, '--typo'),
        (['medic'], 2, 'doctor'),
        ([], 2, 'COMMAND'),
    ],
)
def test_commands(arguments, status, word, capsys):
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == status and word in ''.join(capsys.readouterr())


def report(found, findings=()):
    """Lines of a report, without the space between the columns."""
    versions = installed({'torch': ['torch'], 'mmseg': ['mmsegmentation']}, torch='2.15.0', mmsegmentation='1.2.2')
    return [' '.join(line.split()) for line in write_report(found, versions, machine(), findings).splitlines()]


def test_states_of_packages():
    found = imports(
        mmdet=missing('mmdet'),
        mmseg=Outcome('AssertionError'),
        mim=Outcome("No module named 'mmdet'", lacks='mmdet'),
        xtcocotools=Outcome(origin=str(COMPAT / 'xtcocotools' / 'coco.py')),
    )
    lines = report(found)
    for line in (
        'torch torch 2.15.0 works',
        'mmseg mmsegmentation 1.2.2 broken',
        'mmdet missing',
        'mim needs mmdet',
        'xtcocotools stand-in of mmdiffperc works',
    ):
        assert line in lines
    assert mmdiffperc.__version__ in lines[0]


def test_machine():
    lines = report(imports(gpus=['NVIDIA H200, 138.0 GiB free of 139.8 GiB, bf16']))
    assert lines[lines.index('Machine') :] == [
        'Machine',
        'GPU 0 NVIDIA H200, 138.0 GiB free of 139.8 GiB, bf16',
        'memory 12.0 GiB free of 16.0 GiB',
        'disk 7.0 GiB free here, 50.0 GiB in /cache/hub',
        'hub https://huggingface.co reachable',
    ]
    assert any(line.startswith('GPU ') and 'CUDA 13.2' in line for line in report(imports(gpus=[])))
    assert not any('CUDA' in line for line in report(imports(gpus=[], torch=missing('torch'))))


def test_findings_stand_under_their_kind_with_the_command():
    findings = [Finding('missing', 'lmdb', 'why', 'pip install lmdb'), Finding('broken', 'peft 0.1', 'an error')]
    lines = report(imports(), findings)
    broken, missing_ones = lines.index('Broken'), lines.index('lmdb: why')
    assert lines[broken + 1] == 'peft 0.1: an error' and lines[missing_ones + 1] == 'pip install lmdb'
    assert broken < missing_ones == len(lines) - 2
