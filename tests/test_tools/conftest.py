"""Checkpoints that no tool takes; a folder in which nothing has been measured."""

import json
import os
import sys
from pathlib import Path

import pytest
import torch
from pickles import Call

from mmdiffperc.compat.checkpoint import load_file

# Note the command, then write what it would: a log that ends with a validation, or a score that counts the commands.
# The files `stops` and `fails` let a training end before its validation, or fail.
PROGRAM = """#!{python} -IS
import json, os, sys
arguments = sys.argv[1:]
with open('commands.jsonl', 'a+') as file:
    file.write(json.dumps(arguments) + '\\n')
    file.seek(0)
    number = len(file.readlines())
scores = dict.fromkeys(['mIoU', 'rmse', 'abs_rel', 'd1', 'time'], number)
def write(path, content):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, 'w') as file:
        file.write(content)
def value(option):
    return arguments[arguments.index(option) + 1]
if '--out-file' in arguments:
    write(value('--out-file'), json.dumps(scores))
elif arguments[0] == 'test':
    write(value('--work-dir') + '/1010_1200/1010_1200.json', json.dumps(scores))
elif arguments[0] == 'train':
    if os.path.exists('fails'):
        sys.exit(3)
    stops = os.path.exists('stops')
    write(value('--work-dir') + '/1010_%04d/vis_data/scalars.json' % number, '\\n'.join(
        json.dumps(entry) for entry in [dict(loss=1.0, step=8), dict(scores, step=8)][: 1 if stops else 2]))
    for name in ('best_mIoU_iter_8.pth', 'iter_4.pth', 'iter_8.pth'):
        write(value('--work-dir') + '/' + name, name)
    write(value('--work-dir') + '/last_checkpoint', '/elsewhere/iter_8.pth')
"""


@pytest.fixture
def broken_checkpoints(tmp_path):
    """Write checkpoints that a tool has to refuse, each with what it has to say: damaged, cut short, unsafe, and one
    without the weights of a part."""

    def write(checkpoint, part, model):
        content = Path(checkpoint).read_bytes()
        (tmp_path / 'damaged.pth').write_bytes(b'garbage' * 100)
        (tmp_path / 'short.pth').write_bytes(content[: len(content) // 2])
        torch.save(dict(state_dict={}, meta=Call(os.mkdir, str(tmp_path / 'executed'))), tmp_path / 'unsafe.pth')
        weights = load_file(checkpoint)['state_dict']
        others = {key: weight for key, weight in weights.items() if not key.startswith(part)}
        torch.save(dict(state_dict=others, meta=dict(dataset_meta={})), tmp_path / 'other.pth')
        yield str(tmp_path / 'damaged.pth'), 'damaged.pth'
        yield str(tmp_path / 'short.pth'), 'short.pth'
        yield str(tmp_path / 'unsafe.pth'), '`posix.mkdir`'
        yield str(tmp_path / 'other.pth'), part
        assert not (tmp_path / 'executed').exists()

    return write


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """The current directory, without results."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def programs(clone, monkeypatch):
    """Let the programs that tools start write results at once; return the commands that have run so far."""
    (clone / 'bin').mkdir()
    for name in ('mim', 'mmdiffperc', 'python'):
        (clone / 'bin' / name).write_text(PROGRAM.format(python=sys.executable))
        (clone / 'bin' / name).chmod(0o755)
    monkeypatch.setattr(sys, 'executable', str(clone / 'bin' / 'python'))  # where commands are looked for

    def commands() -> list[list[str]]:
        file = Path('commands.jsonl')
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []

    return commands
