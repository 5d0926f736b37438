"""Commands of the tools that train: how they run, how they end with the tool, and what a test has written."""

import asyncio
import json
import os
import shlex
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path


def run(*command: str | Path):
    """Print a command and run it with the programs in the environment of this Python.

    Raises:
        subprocess.CalledProcessError: The command fails.
    """
    asyncio.run(call(*command))


async def call(*command: str | Path, log: Path | None = None, threads: int | None = None):
    """Do what :func:`run` does, next to other commands.

    Args:
        *command (str | Path): The program and its arguments.
        log (Path, optional): File to which the output is appended. Default: the output is shown.
        threads (int, optional): Number of threads that PyTorch uses. Default: its own choice.

    Raises:
        subprocess.CalledProcessError: The command fails.
    """
    print(f'\n$ {shlex.join(map(str, command))}', flush=True)
    environment = dict(os.environ, PATH=f'{Path(sys.executable).parent}{os.pathsep}{os.environ["PATH"]}')
    if threads:
        environment['OMP_NUM_THREADS'] = str(threads)
    with log.open('ab') if log else nullcontext() as output:
        streams = dict(stdout=output, stderr=output)
        process = await asyncio.create_subprocess_exec(*command, env=environment, process_group=0, **streams)
        try:
            status = await process.wait()
        except BaseException:  # end the whole group, because mim starts a process that would keep running
            os.killpg(process.pid, signal.SIGTERM)
            await process.wait()
            raise
    if status:
        raise subprocess.CalledProcessError(status, command)


def latest_results(work_dir: str | Path) -> dict:
    """Return the metrics of the latest test with this ``--work-dir``, which mmengine wrote."""
    return json.loads(max(Path(work_dir).glob('*/*.json')).read_text())


def loss_curve(work_dir: str | Path, points: int = 24) -> dict[str, float]:
    """Return the logged training loss by iteration, thinned to about this many points, without those of restarts."""
    losses = {}
    for log in sorted(Path(work_dir).glob('*/vis_data/scalars.json')):
        entries = [json.loads(line) for line in log.read_text().splitlines()]
        losses |= {entry['step']: entry['loss'] for entry in entries if 'loss' in entry}
    steps = sorted(losses)
    return {str(step): round(losses[step], 5) for step in steps[:: -(-len(steps) // points) or 1]}


def last_validation(work_dir: str | Path) -> dict | None:
    """Return the metrics at the end of training, or None if it has not finished: training lines contain a loss."""
    logs = sorted(Path(work_dir).glob('*/vis_data/scalars.json'))
    entries = logs[-1].read_text().splitlines() if logs else []
    last = json.loads(entries[-1]) if entries else {}
    return last if last and 'loss' not in last else None
