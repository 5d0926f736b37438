"""The tools under ``torchrun``, which gives each process its rank; ``accelerate launch`` uses it on GPUs."""

import os
import socket
import subprocess
import sys

import make_captions
import pytest
from accelerate import PartialState
from child_processes import exit_code, fork


@pytest.fixture
def run(tmp_path, language_model):
    """The arguments for an output file, and what the tool writes to it in one process."""
    (tmp_path / 'keywords.txt').write_text('bedroom\nkitchen\nbeach\n')

    def arguments(out):
        options = ['--model', str(language_model), '--batch-size', '1', '--max-tokens', '6', '--device', 'cpu']
        return [str(tmp_path / 'keywords.txt'), '--out-file', str(tmp_path / out), *options]

    assert make_captions.main(arguments('one.jsonl')) == 0
    return arguments, (tmp_path / 'one.jsonl').read_bytes()


def test_two_processes_write_what_one_writes(tmp_path, run):
    arguments, whole = run
    with socket.create_server(('localhost', 0)) as free:
        port = str(free.getsockname()[1])

    def process(rank):
        PartialState._reset_state()  # as in a new process
        os.environ.update(
            RANK=rank, LOCAL_RANK=rank, WORLD_SIZE='2', LOCAL_WORLD_SIZE='2', MASTER_ADDR='localhost', MASTER_PORT=port
        )
        args = make_captions.parse_args(arguments('two.jsonl'))
        assert (args.index, args.world_size, args.device) == (int(rank), 2, 'cpu')
        assert make_captions.make_captions(args) == [2, 1][args.index]
        return 0

    children = [fork(lambda rank=rank: process(rank)) for rank in '01']
    assert [exit_code(child) for child in children] == [0, 0]
    assert (tmp_path / 'two.jsonl').read_bytes() == whole


@pytest.mark.slow
def test_torchrun(tmp_path, run):
    arguments, whole = run
    launcher = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    done = subprocess.run([*launcher, make_captions.__file__, *arguments('two.jsonl')], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '2 new captions' in done.stdout and '1 new captions' in done.stdout
    assert (tmp_path / 'two.jsonl').read_bytes() == whole
