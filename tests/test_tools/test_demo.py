import os
import signal
import subprocess

import child_processes
import demo
import pytest
import toy_runs

from mmdiffperc.command_line import one_line_errors


def test_help_explains_and_starts_nothing(capsys):
    with pytest.raises(SystemExit) as stopped:
        demo.main(['--help'])
    assert stopped.value.code == 0
    assert 'mim' in capsys.readouterr().out


def test_commands_end_with_the_tool(tmp_path):
    """So do the processes that a command has started, as mim starts the training."""

    @one_line_errors()
    def main(arguments):
        toy_runs.run(
            'sh', '-c', f'sleep 1000 & echo $! > {tmp_path}/new; sleep 0.3; mv {tmp_path}/new {tmp_path}/started; wait'
        )

    process = child_processes.fork(lambda: main(None))
    assert child_processes.wait_until((tmp_path / 'started').exists)
    started = int((tmp_path / 'started').read_text())
    assert child_processes.is_running(started)
    os.kill(process, signal.SIGTERM)
    assert child_processes.exit_code(process) == 130
    assert child_processes.wait_until(lambda: not child_processes.is_running(started))


def test_a_command_that_fails():
    with pytest.raises(subprocess.CalledProcessError, match='status 3'):
        toy_runs.run('sh', '-c', 'exit 3')
