"""Commands end with the tool that has started them."""

import asyncio
import os
import signal
import subprocess

import child_processes
import pytest
from toy_experiments.commands import call, run

from mmdiffperc_cli.options import one_line_errors


def test_commands_end_with_the_tool(tmp_path):
    """So do the processes that a command has started, as mim starts the training."""

    @one_line_errors()
    def main(arguments):
        run('sh', '-c', f'sleep 1000 & echo $! > {tmp_path}/new; sleep 0.3; mv {tmp_path}/new {tmp_path}/started; wait')

    process = child_processes.fork(lambda: main(None))
    assert child_processes.wait_until((tmp_path / 'started').exists)
    started = int((tmp_path / 'started').read_text())
    assert child_processes.is_running(started)
    os.kill(process, signal.SIGTERM)
    assert child_processes.exit_code(process) == 130
    assert child_processes.wait_until(lambda: not child_processes.is_running(started))


def test_a_command_that_fails():
    with pytest.raises(subprocess.CalledProcessError, match='status 3'):
        run('sh', '-c', 'exit 3')


@pytest.mark.parametrize('threads', [None, 3])
def test_output_goes_to_the_log(tmp_path, monkeypatch, threads):

    monkeypatch.setenv('OMP_NUM_THREADS', '7')
    for _ in range(2):
        asyncio.run(call('sh', '-c', 'echo $OMP_NUM_THREADS; echo error >&2', log=tmp_path / 'log', threads=threads))
    assert (tmp_path / 'log').read_text() == f'{threads or 7}\nerror\n' * 2
