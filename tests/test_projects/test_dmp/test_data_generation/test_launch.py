"""The tools under ``torchrun``, which gives each process its rank; ``accelerate launch`` uses it on GPUs."""

import subprocess
import sys

import make_captions
import pytest


@pytest.fixture
def run(tmp_path, language_model):
    """The arguments for an output file, and what the tool writes to it in one process."""
    (tmp_path / 'keywords.txt').write_text('bedroom\nkitchen\nbeach\n')

    def arguments(out):
        options = ['--model', str(language_model), '--batch-size', '1', '--max-tokens', '6', '--device', 'cpu']
        return [str(tmp_path / 'keywords.txt'), '--out-file', str(tmp_path / out), *options]

    assert make_captions.main(arguments('one.jsonl')) == 0
    return arguments, (tmp_path / 'one.jsonl').read_bytes()


def test_two_processes_write_what_one_writes(tmp_path, run, monkeypatch):
    arguments, whole = run
    monkeypatch.setenv('WORLD_SIZE', '2')
    for rank, captions in enumerate([2, 1]):
        monkeypatch.setenv('RANK', str(rank))
        args = make_captions.parse_args(arguments('two.jsonl'))
        assert (args.index, args.world_size, args.device) == (rank, 2, 'cpu')
        assert make_captions.make_captions(args) == captions
    assert (tmp_path / 'two.jsonl').read_bytes() == whole


def test_each_process_has_its_gpu(run, monkeypatch):
    arguments, _ = run
    for name, value in (('RANK', '11'), ('WORLD_SIZE', '16'), ('LOCAL_RANK', '3')):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    args = make_captions.parse_args([*arguments('any.jsonl')[:-1], 'auto'])
    assert (args.index, args.world_size, args.device) == (11, 16, 'cuda:3')


@pytest.mark.slow
def test_torchrun(tmp_path, run):
    arguments, whole = run
    launcher = [sys.executable, '-m', 'torch.distributed.run', '--standalone', '--nproc-per-node', '2']
    done = subprocess.run([*launcher, make_captions.__file__, *arguments('two.jsonl')], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert '2 new captions' in done.stdout and '1 new captions' in done.stdout
    assert (tmp_path / 'two.jsonl').read_bytes() == whole
